"""Sealing and opening records on the OpenSSL of ``cryptography``: the hot path.

By way of pointers: for small messages, a view of a buffer costs more than its encryption.
"""

from __future__ import annotations

import ssl

from connect_proxy_builtin.openssl_buffers import SCRATCH, MemoryBuffer
from connect_proxy_builtin.openssl_session import OpenSslSession
from connect_proxy_builtin.tls_channel import RECORD, SLICE, TlsChannel


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
            raise self._session.failure(written)
        return self._view[: max(0, self._take(self._outgoing, self._scratch, SCRATCH))]

    def open(self, count: int) -> int:
        """Decrypt *count* bytes of ``wire``, and what was there before, into ``clear``."""
        pointer, incoming, decrypt, pending = self._ssl, self._incoming, self._decrypt, self._count
        clear, null = self._clear, self._null
        start = filled = 0
        while True:
            if start < count:
                self._feed(incoming, self._wire + start, min(SLICE, count - start))
                start += SLICE
            while True:
                got = decrypt(pointer, clear + filled, RECORD)
                if got <= 0:
                    failure = self._session.failure(got)
                    if isinstance(failure, ssl.SSLWantReadError):
                        break
                    if isinstance(failure, ssl.SSLZeroReturnError):
                        self.ended = True
                        return filled
                    raise failure
                filled += got
                if not pending(incoming, null):
                    break
            if start >= count:
                return filled
