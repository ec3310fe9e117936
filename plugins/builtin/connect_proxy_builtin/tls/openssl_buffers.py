"""Buffers between sockets and TLS on the OpenSSL of ``cryptography``."""

from __future__ import annotations

from typing import Final

from connect_proxy_builtin.scratch_memory import scratch_memory
from connect_proxy_builtin.tls.openssl_library import Library

SCRATCH: Final = 320 * 1024
"""More than the records of the largest chunk that is encrypted at once."""


class Scratch:
    """Where records lie between OpenSSL and the socket; for all sessions of one thread."""

    __slots__ = ("pointer", "view")

    def __init__(self, library: Library) -> None:
        self.view = scratch_memory(SCRATCH)
        self.pointer = library.ffi.from_buffer(self.view.obj)


class MemoryBuffer:
    """Bytes on their way into TLS or out of it: the shape of ``ssl.MemoryBIO``."""

    __slots__ = (
        "_count",
        "_from_buffer",
        "_library",
        "_null",
        "_read",
        "_write",
        "bio",
        "owner",
        "scratch",
    )

    def __init__(self, library: Library, scratch: Scratch) -> None:
        lib, ffi = library.lib, library.ffi
        self._library, self.scratch = library, scratch
        self._write, self._read, self._count = lib.BIO_write, lib.BIO_read, lib.BIO_get_mem_data
        self._from_buffer, self._null = ffi.from_buffer, ffi.NULL
        self.bio = lib.BIO_new(lib.BIO_s_mem())
        self.owner: object | None = None
        """The session that reads or writes it, and frees it."""

    def __del__(self) -> None:
        if self.owner is None:
            self._library.lib.BIO_free(self.bio)

    def write(self, data: memoryview | bytes) -> int:
        """Add *data*; how much, which is all of it."""
        written: int = self._write(self.bio, self._from_buffer(data), len(data))
        return written

    def read(self) -> memoryview | bytes:
        """All of it, or as much as fits. Good until the next read of any buffer of this thread."""
        count = self._read(self.bio, self.scratch.pointer, SCRATCH)
        return self.scratch.view[:count] if count > 0 else b""

    @property
    def pending(self) -> int:
        """How many bytes were not read yet."""
        count: int = self._count(self.bio, self._null)
        return count
