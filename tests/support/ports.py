"""Ports that nobody else on this machine uses, also not a test in another worker process.

A block of ports belongs to the process that holds the lock of its file; the lock goes with the
process. All lie under Linux's ephemeral range, so that no outgoing connection takes one.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

BLOCK_SIZE: Final = 50
_FIRST: Final = 22000
_BLOCKS: Final = 160


@dataclass(kw_only=True)
class PortBlock:
    """Ports of one process: ``first`` to ``last``, all free when it was taken."""

    first: int
    lock: IO[str] = field(repr=False)

    @property
    def last(self) -> int:
        return self.first + BLOCK_SIZE - 1

    def release(self) -> None:
        """Give the whole block back."""
        self.lock.close()


def free_block() -> PortBlock:
    """A block of ports of this process alone: for a Consul that hands out sidecar ports from it."""
    folder = Path(tempfile.gettempdir()) / f"connect-proxy-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    numbers = list(range(_BLOCKS))
    random.shuffle(numbers)
    for number in numbers:
        lock = (folder / f"{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        block = PortBlock(first=_FIRST + number * BLOCK_SIZE, lock=lock)
        if all(_is_free(port) for port in range(block.first, block.last + 1)):
            return block
        block.release()
    message = f"no free block of {BLOCK_SIZE} ports in {_FIRST}-{_FIRST + _BLOCKS * BLOCK_SIZE - 1}"
    raise RuntimeError(message)


@dataclass(kw_only=True)
class _Supply:
    """The single ports of this process, handed out in order, a new block when one is used up."""

    block: PortBlock | None = None
    following: int = 0
    used_up: list[PortBlock] = field(default_factory=list)
    """Kept, and locked: their ports may still be in use."""

    def take(self) -> int:
        while True:
            if self.block is None or self.following > self.block.last:
                if self.block is not None:
                    self.used_up.append(self.block)
                self.block = free_block()
                self.following = self.block.first
            self.following += 1
            if _is_free(self.following - 1):
                return self.following - 1


_supply = _Supply()


def free_port() -> int:
    """A port on which nothing listens, for TCP and UDP, IPv4 and IPv6. Never given out twice."""
    return _supply.take()


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                probe = socket.socket(family, kind)
            except OSError:
                continue  # a machine without IPv6
            with probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((address, port))
                except OSError:
                    return False
    return True
