"""Proxies' output without a data directory: on the agent's stderr, ``[proxy id]`` before each line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final

LONGEST_LINE: Final = 64 * 1024
"""Bytes; a longer line is passed on in pieces."""

Write = Callable[[bytes], object]


class LineLabeller:
    """Bytes in any pieces in, whole labelled lines out."""

    def __init__(self, label: str, write: Write) -> None:
        self._label = f"[{label}] ".encode()
        self._write = write
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Pass on what is complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST_LINE:
            lines.append(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        for line in lines:
            self._write(self._label + line + b"\n")

    def end(self) -> None:
        """Pass on the line that nobody ended."""
        if self._rest:
            self.feed(b"\n")


class _Reader(asyncio.Protocol):
    def __init__(self, labeller: LineLabeller) -> None:
        self._labeller = labeller

    def data_received(self, data: bytes) -> None:
        self._labeller.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._labeller.end()


def labelled_pipe(label: str, write: Write | None = None) -> int:
    """A descriptor to write to; the reading goes on in the running loop until all writers are gone."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    labeller = LineLabeller(label, write or sys.stderr.buffer.write)
    loop = asyncio.get_running_loop()
    task = loop.create_task(_read(loop, reading, labeller))
    _READING.add(task)
    task.add_done_callback(_READING.discard)
    return writing


_READING: Final[set[asyncio.Task[None]]] = set()
"""Kept from being collected until the pipe is connected."""


async def _read(loop: asyncio.AbstractEventLoop, reading: int, labeller: LineLabeller) -> None:
    await loop.connect_read_pipe(lambda: _Reader(labeller), os.fdopen(reading, "rb", 0))
