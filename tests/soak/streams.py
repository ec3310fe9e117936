"""Calls through the mesh whose every byte is checked, and callers that behave badly."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from soak.application import CHUNK, DIGEST, ECHO, RESET, SEND, SENT

DEADLINE_S: Final = 30.0
LARGEST: Final = 1_000_000
SEED: Final = random.Random(1).randbytes(LARGEST + CHUNK)
"""Streams are pieces of it: made once, different each time."""


class WrongBytesError(AssertionError):
    """What came back is not what was sent: never allowed, whatever happens around."""


@dataclass
class Weather:
    """Whether calls may be refused or cut at the moment: while an intention forbids them."""

    forbidden: bool = False
    changes: int = 0

    def forbid(self) -> None:
        self.forbidden, self.changes = True, self.changes + 1

    def allow(self) -> None:
        self.forbidden = False


@dataclass
class Tally:
    """What happened to the calls, by kind; ``lost``: those that nothing excuses."""

    passed: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def keep_calling(
    port: int, weather: Weather, tally: Tally, stop: asyncio.Event, *, seed: int
) -> None:
    """One call after the other, of every kind, until *stop*."""
    chance = random.Random(seed)
    kinds = list(KINDS)
    while not stop.is_set():
        await call(chance.choice(kinds), port, weather, tally, chance)


async def call(kind: str, port: int, weather: Weather, tally: Tally, chance: random.Random) -> None:
    """One call, its outcome counted."""
    forbidden, changes = weather.forbidden, weather.changes
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
            try:
                await KINDS[kind](reader, writer, chance)
            finally:
                writer.transport.abort()
    except WrongBytesError as exc:
        tally.wrong.append(f"{kind}: {exc}")
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
        if forbidden or weather.changes != changes:
            tally.excused[kind] += 1
            await asyncio.sleep(0.01)
        else:
            tally.lost.append(f"{kind}: {exc!r}")
    else:
        tally.passed[kind] += 1


def _piece(chance: random.Random) -> bytes:
    start = chance.randrange(CHUNK)
    return SEED[start : start + int(LARGEST ** chance.random())]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random) -> None:
    sent = _piece(chance)
    writer.write(ECHO)

    async def send() -> None:
        for first in range(0, len(sent), CHUNK):
            writer.write(sent[first : first + CHUNK])
            await writer.drain()
        writer.write_eof()

    async def receive() -> bytes:
        digest, count = hashlib.sha256(), 0
        while data := await reader.read(CHUNK):
            digest.update(data)
            count += len(data)
        if count < len(sent):
            raise asyncio.IncompleteReadError(b"", len(sent) - count)
        return digest.digest()

    _, got = await asyncio.gather(send(), receive())
    if got != hashlib.sha256(sent).digest():
        message = f"an echo of {len(sent)} bytes came back changed"
        raise WrongBytesError(message)


async def _digest(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    sent = _piece(chance)
    writer.write(DIGEST + sent)
    writer.write_eof()
    if await reader.readexactly(32) != hashlib.sha256(sent).digest():
        message = f"{len(sent)} bytes arrived changed"
        raise WrongBytesError(message)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """The server ends first; its reader still takes what we send after that."""
    writer.write(SEND)
    digest = await reader.readexactly(32)
    got = await reader.readexactly(len(SENT))
    if hashlib.sha256(got).digest() != digest or await reader.read(1):
        message = f"what the server sent ({len(SENT)} bytes) arrived changed"
        raise WrongBytesError(message)
    writer.write(_piece(chance))
    await writer.drain()
    writer.write_eof()


async def _small(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """Question and answer, over and over."""
    writer.write(ECHO)
    for _ in range(20):
        sent = SEED[: chance.randrange(1, 200)]
        writer.write(sent)
        if await reader.readexactly(len(sent)) != sent:
            message = "an answer is not its question"
            raise WrongBytesError(message)


async def _reset(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _chance: random.Random
) -> None:
    """The application breaks off: what came before is a beginning of what it sent."""
    writer.write(RESET)
    writer.write(b"x")
    got = b""
    try:
        while data := await reader.read(CHUNK):
            got += data
    except ConnectionError:
        pass
    if not SENT.startswith(got):
        message = "before a reset other bytes arrived than were sent"
        raise WrongBytesError(message)


async def _leave(
    _reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """The caller goes away in the middle, at any stage."""
    if chance.random() < 0.5:
        writer.write(ECHO + _piece(chance))
        await asyncio.sleep(chance.random() * 0.05)


Kind = Callable[[asyncio.StreamReader, asyncio.StreamWriter, random.Random], Awaitable[None]]
KINDS: Final[Mapping[str, Kind]] = {
    "echo": _echo,
    "digest": _digest,
    "send": _send,
    "small": _small,
    "reset": _reset,
    "leave": _leave,
}
