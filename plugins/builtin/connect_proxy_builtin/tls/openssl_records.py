"""Sealing and opening records on the OpenSSL of ``cryptography``: the hot path.

By way of pointers: for small messages, a view of a buffer costs more than its encryption.
"""

from __future__ import annotations

from typing import Final

from connect_proxy_builtin.tls.channel import RECORD, SLICE, TlsChannel
from connect_proxy_builtin.tls.openssl_buffers import SCRATCH, MemoryBuffer
from connect_proxy_builtin.tls.openssl_session import OpenSslSession, openssl_error

OVERHEAD: Final = 5 + 1 + 16
"""What a record of TLS 1.3 without padding has beside its content: header, kind, tag (RFC 8446, 5.2)."""
NEVER: Final = 1 << 30
SEALED_SLICE: Final = SLICE // RECORD * (RECORD + OVERHEAD)
"""A slice, sealed: where a sender fills its records, whole ones are decrypted at once."""


class OpenSslRecords:
    """Of one connection."""

    __slots__ = (
        "_clear",
        "_decrypt",
        "_encrypt",
        "_feed",
        "_incoming",
        "_null",
        "_outgoing",
        "_overhead",
        "_pending",
        "_scratch",
        "_session",
        "_ssl",
        "_take",
        "_view",
        "_whole",
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
        self._feed, self._take, self._pending = lib.BIO_write, lib.BIO_read, lib.BIO_get_mem_data
        # Only there is the overhead the same whatever the cipher is.
        self._overhead = OVERHEAD if session.version() == "TLSv1.3" else NEVER
        self._whole = False
        """Whether no part of a record was left by the last call."""
        self.ended = False

    def seal(self, start: int, stop: int) -> memoryview:
        """Encrypt these bytes of ``wire``."""
        encrypt, take = self._encrypt, self._take
        written = encrypt(self._ssl, self._wire + start if start else self._wire, stop - start)
        if written <= 0:
            raise openssl_error(self._session.library)
        count = take(self._outgoing, self._scratch, SCRATCH)
        return self._view[:count] if count > 0 else self._view[:0]

    def open(self, count: int) -> int:
        """Decrypt *count* bytes of ``wire``, and what was there before, into ``clear``."""
        if count > SEALED_SLICE:
            return self._open_slices(count)
        feed, decrypt = self._feed, self._decrypt
        if count:
            feed(self._incoming, self._wire, count)
        got: int = decrypt(self._ssl, self._clear, RECORD)
        if got == count - self._overhead and got > 0 and self._whole:
            return got  # one record, nothing but it: no need to ask what is left
        return self._open_rest(0, got, count)

    def _open_slices(self, count: int) -> int:
        feed, decrypt = self._feed, self._decrypt
        filled = 0
        for start in range(0, count, SEALED_SLICE):
            fed = min(SEALED_SLICE, count - start)
            feed(self._incoming, self._wire + start, fed)
            filled = self._open_rest(filled, decrypt(self._ssl, self._clear + filled, RECORD), fed)
            if self.ended:
                break
        return filled

    def _open_rest(self, filled: int, got: int, fed: int) -> int:
        """Decrypt the rest of *fed* bytes, behind *filled* and *got* in ``clear``; how many it has then."""
        decrypt, pending = self._decrypt, self._pending
        while got > 0:
            filled += got
            fed -= got + OVERHEAD
            # What OpenSSL has not seen is asked for only where it may be nothing.
            if fed <= 0 and not pending(self._incoming, self._null):
                self._whole = True
                return filled
            got = decrypt(self._ssl, self._clear + filled, RECORD)
        self._whole = False
        self.ended = not self._session.wants_more(got)
        return filled
