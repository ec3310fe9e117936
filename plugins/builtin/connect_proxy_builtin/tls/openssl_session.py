"""TLS sessions over memory on the OpenSSL of ``cryptography``: the shape of ``ssl.SSLObject``.

Only what the data plane uses. :mod:`ssl` itself is not imported, not even for its exceptions: it
would bring another OpenSSL into memory. OpenSSL's error queue belongs to the thread: it is empty
between calls, since every failure takes all of it.
"""

from __future__ import annotations

from typing import Any, Final, final

from connect_proxy_builtin.tls.openssl_buffers import MemoryBuffer
from connect_proxy_builtin.tls.openssl_library import Library

ERROR_WANT_READ: Final = 2
ERROR_ZERO_RETURN: Final = 6
VERSIONS: Final = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
"""No other is spoken: see ``tls_versions``."""
BOTH_SHUT: Final = 3
"""SSL_SENT_SHUTDOWN and SSL_RECEIVED_SHUTDOWN."""


class OpenSslError(OSError):
    """What went wrong in TLS: the shape of ``ssl.SSLError``."""

    def __init__(self, text: str) -> None:
        """*text*: OpenSSL's own."""
        super().__init__(text)
        self.reason = text.upper().replace(" ", "_")
        """As ``ssl.SSLError`` spells it: ``CERTIFICATE_VERIFY_FAILED``."""


class Ticket:
    """A session to resume. Not for use beside the context that it came from."""

    __slots__ = ("_der", "pointer")

    def __init__(self, pointer: Any, der: bytes) -> None:
        self.pointer, self._der = pointer, der

    @property
    def has_ticket(self) -> bool:
        """Whether the server gave one."""
        return bool(_session_field(self._der, 10))

    @property
    def ticket_lifetime_hint(self) -> int:
        """Seconds, as the server said."""
        return int.from_bytes(_session_field(self._der, 9)[2:], "big")


@final
class OpenSslSession:
    """One side of one connection."""

    __slots__ = ("_lib", "library", "pointer")

    def __init__(
        self,
        library: Library,
        context: Any,
        incoming: MemoryBuffer,
        outgoing: MemoryBuffer,
        *,
        server_side: bool,
    ) -> None:
        lib = library.lib
        self.library, self._lib = library, lib
        self.pointer = lib.SSL_new(context)
        lib.SSL_set_bio(self.pointer, incoming.bio, outgoing.bio)
        incoming.owner = outgoing.owner = self
        (lib.SSL_set_accept_state if server_side else lib.SSL_set_connect_state)(self.pointer)

    def __del__(self) -> None:
        # A session whose connection was cut would not be resumed any more: say it was not.
        self._lib.SSL_set_shutdown(self.pointer, BOTH_SHUT)
        self._lib.SSL_free(self.pointer)

    def step(self) -> bool:
        """One step of the handshake; whether it is done. Raises OpenSslError."""
        result = self._lib.SSL_do_handshake(self.pointer)
        if result != 1 and not self.wants_more(result):
            raise openssl_error(self.library)
        return bool(result == 1)

    def end(self) -> None:
        """Say that nothing more comes from here. Raises OpenSslError."""
        result = self._lib.SSL_shutdown(self.pointer)
        if result < 0:
            self.wants_more(result)

    def version(self) -> str:
        """``TLSv1.3``."""
        return VERSIONS.get(self._lib.SSL_version(self.pointer), "unknown")

    def getpeercert(self, binary_form: bool) -> bytes | None:
        """The peer's certificate as DER."""
        assert binary_form, "nothing else is needed"
        lib = self._lib
        certificate = lib.SSL_get_peer_certificate(self.pointer)
        if certificate == self.library.ffi.NULL:
            return None
        bio = lib.BIO_new(lib.BIO_s_mem())
        try:
            lib.i2d_X509_bio(bio, certificate)
            return _content(self.library, bio)
        finally:
            lib.BIO_free(bio)
            lib.X509_free(certificate)

    @property
    def session_reused(self) -> bool:
        """Whether the handshake resumed a session."""
        return bool(self._lib.SSL_session_reused(self.pointer))

    @property
    def session(self) -> Ticket | None:
        """What a later connection may resume with, once the server's ticket was read."""
        lib, ffi = self._lib, self.library.ffi
        pointer = lib.SSL_get1_session(self.pointer)
        if pointer == ffi.NULL:
            return None
        pointer = ffi.gc(pointer, lib.SSL_SESSION_free)
        der = ffi.new("unsigned char[]", lib.i2d_SSL_SESSION(pointer, ffi.NULL))
        lib.i2d_SSL_SESSION(pointer, ffi.new("unsigned char **", der))
        return Ticket(pointer, bytes(ffi.buffer(der)))

    def resume(self, ticket: Ticket) -> None:
        """Offer *ticket*. Before the handshake."""
        self._lib.SSL_set_session(self.pointer, ticket.pointer)

    def wants_more(self, result: int) -> bool:
        """Whether the call that gave *result* lacks bytes; else the peer said that it has ended.

        Raises OpenSslError if it was neither.
        """
        kind = self._lib.SSL_get_error(self.pointer, result)
        if kind not in {ERROR_WANT_READ, ERROR_ZERO_RETURN}:
            raise openssl_error(self.library)
        return bool(kind == ERROR_WANT_READ)


def openssl_error(library: Library) -> OpenSslError:
    """What the error queue says. Empties it."""
    lib = library.lib
    code = lib.ERR_get_error()
    lib.ERR_clear_error()
    reason = lib.ERR_reason_error_string(code) if code else library.ffi.NULL
    return OpenSslError(library.ffi.string(reason).decode() if reason != library.ffi.NULL else "error")


def _content(library: Library, bio: Any) -> bytes:
    pointer = library.ffi.new("char **")
    length = library.lib.BIO_get_mem_data(bio, pointer)
    return bytes(library.ffi.buffer(pointer[0], length))


def _session_field(der: bytes, number: int) -> bytes:
    """The content of the optional field *number* of OpenSSL's SSL_SESSION (ssl/ssl_asn1.c); b"" without."""
    _, at, _ = _element(der, 0)
    while at < len(der):
        tag, begin, end = _element(der, at)
        if tag == 0xA0 | number:
            return der[begin:end]
        at = end
    return b""


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the content begins and ends; tags here are one byte."""
    length = der[at + 1]
    begin = at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[begin : begin + size], "big")
        begin += size
    return der[at], begin, begin + length
