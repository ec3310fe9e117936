"""A caller that calls again and again while something changes underneath."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.applications import ask

PACE_S = 0.02


@dataclass
class Calls:
    """How many were made, a connection each, and how many got no right answer."""

    made: int = 0
    failed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, port: int) -> None:
        while not self.ended.wait(PACE_S):
            self.made += 1
            self.failed += ask(port, b"hello") != b"hello"


@contextmanager
def calling(port: int) -> Iterator[Calls]:
    """Call an echo server behind *port* for the length of the block."""
    calls = Calls()
    thread = threading.Thread(target=calls.run, args=(port,))
    thread.start()
    try:
        yield calls
    finally:
        calls.ended.set()
        thread.join()
