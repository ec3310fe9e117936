"""A one-way box of messages between two threads, with a descriptor that wakes the reader."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any thread puts, one takes. :meth:`fileno` is readable while something may be inside."""

    def __init__(self) -> None:
        self._messages: deque[T] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._held = False

    def fileno(self) -> int:
        """What to watch for readability."""
        return self._reader.fileno()

    def put(self, message: T) -> None:
        """Never blocks. Messages for a closed box are dropped."""
        self._messages.append(message)
        if not self._held:
            self._wake()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wake the reader once, at the end, for all that is put meanwhile. For boxes that one thread fills.

        A reader that is woken by each message takes the interpreter's lock from who puts the next.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._wake()

    def _wake(self) -> None:
        # A full pipe means that the reader is woken already; a closed one, that it is gone.
        with contextlib.suppress(BlockingIOError, OSError):
            self._writer.send(b"\0")

    def take(self) -> list[T]:
        """Everything that is inside, oldest first."""
        with contextlib.suppress(BlockingIOError):
            while len(self._reader.recv(4096)) == 4096:
                pass
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def close(self) -> None:
        """Give the descriptors back."""
        self._reader.close()
        self._writer.close()
