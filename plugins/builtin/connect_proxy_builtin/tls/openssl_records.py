"""Sealing and opening records on the OpenSSL of ``cryptography``: the hot path.

By way of pointers: for small messages, a view of a buffer costs more than its encryption.
"""

from __future__ import annotations

from connect_proxy_builtin.tls.channel import RECORD, SLICE, TlsChannel
from connect_proxy_builtin.tls.openssl_buffers import SCRATCH, MemoryBuffer
from connect_proxy_builtin.tls.openssl_session import OpenSslSession, openssl_error


class OpenSslRecords:
    """Of one connection."""

    __slots__ = (
        "_clear",
        "_count",
        "_decrypt",
        "_encrypt",
        "_feed",
        "_incoming",
        "_null",
        "_outgoing",
        "_scratch",
        "_session",
        "_ssl",
        "_take",
        "_view",
        "_wire",
        "ended",
    )

    def __init__(self, channel: TlsChannel, wire: memoryview, clear: memoryview) -> None:
        session, outgoing = channel.session, channel.outgoing
        assert isinstance(session, OpenSslSession)
        assert isinstance(outgoing, MemoryBuffer)
        assert isinstance(channel.incoming, MemoryBuffer)
        lib, ffi = session.library.lib, session.library.ffi
        self._session, self._ssl = session, session.pointer
        self._incoming, self._outgoing = channel.incoming.bio, outgoing.bio
        # Of the arrays, not the views: a view in garbage crashes Python while something points into it.
        self._wire, self._clear, self._null = (
            ffi.from_buffer(wire.obj),
            ffi.from_buffer(clear.obj),
            ffi.NULL,
        )
        self._scratch, self._view = outgoing.scratch.pointer, outgoing.scratch.view
        self._encrypt, self._decrypt = lib.SSL_write, lib.SSL_read
        self._feed, self._take, self._count = lib.BIO_write, lib.BIO_read, lib.BIO_get_mem_data
        self.ended = False

    def seal(self, start: int, stop: int) -> memoryview:
        """Encrypt these bytes of ``wire``."""
        written = self._encrypt(self._ssl, self._wire + start if start else self._wire, stop - start)
        if written <= 0:
            raise openssl_error(self._session.library)
        count = self._take(self._outgoing, self._scratch, SCRATCH)
        return self._view[:count] if count > 0 else self._view[:0]

    def open(self, count: int) -> int:
        """Decrypt *count* bytes of ``wire``, and what was there before, into ``clear``."""
        if count <= SLICE:
            if count:
                self._feed(self._incoming, self._wire, count)
            return self._open_fed(0)
        filled = 0
        for start in range(0, count, SLICE):
            self._feed(self._incoming, self._wire + start, min(SLICE, count - start))
            filled = self._open_fed(filled)
            if self.ended:
                break
        return filled

    def _open_fed(self, filled: int) -> int:
        """Decrypt what was fed into ``clear`` after *filled* bytes; how many there are then."""
        pointer, decrypt = self._ssl, self._decrypt
        while True:
            got = decrypt(pointer, self._clear + filled if filled else self._clear, RECORD)
            if got <= 0:
                self.ended = not self._session.wants_more(got)
                return filled
            filled += got
            if not self._count(self._incoming, self._null):
                return filled
