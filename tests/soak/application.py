"""The application behind the mesh: what it does is asked for by the first byte of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Final

ECHO: Final = b"E"
"""Send back what arrives, at once, to the caller's end."""
DIGEST: Final = b"D"
"""Read to the caller's end, then answer with its SHA-256: needs half-close."""
SEND: Final = b"S"
"""End at once after a megabyte, and go on reading: the other half-close. Its digest comes first."""
RESET: Final = b"R"
"""Break off in the middle."""

CHUNK: Final = 64 * 1024
SENT: Final = bytes(range(256)) * 4096


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """Serve on a free loopback port within the block; the port."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _answer(await reader.readexactly(1), reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
    finally:
        writer.close()


async def _answer(what: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if what == ECHO:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    elif what == DIGEST:
        digest = hashlib.sha256()
        while data := await reader.read(CHUNK):
            digest.update(data)
        writer.write(digest.digest())
        await writer.drain()
    elif what == SEND:
        writer.write(hashlib.sha256(SENT).digest() + SENT)
        writer.write_eof()
        while await reader.read(CHUNK):
            pass
    elif what == RESET:
        writer.write(SENT)
        await reader.read(CHUNK)
        writer.transport.abort()
