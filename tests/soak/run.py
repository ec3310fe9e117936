"""Churn of connections, instances, intentions and certificates together; then: nothing lost, nothing left.

    python tests/soak/run.py [--seconds 300] [--callers 8] [--dead-calls 100000] [--idle 10000]

Every stream is compared by hash or byte by byte, half-closed ones too. At the end both sidecars hold as
many descriptors and threads as before and not much more memory, and say that no connection is open.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # started as a script: `soak` and `support` are packages beside it
    sys.path.insert(0, str(TESTS))

from bench.idle_connections import raise_descriptor_limit  # noqa: E402
from soak import application  # noqa: E402
from soak import idle as idle_connections  # noqa: E402
from soak.footprint import Footprint, footprint, processor_ticks  # noqa: E402
from soak.mesh import Mesh, Side, passes, running  # noqa: E402
from soak.streams import Tally, Weather, keep_calling  # noqa: E402

DEFAULT_SECONDS: Final = 300.0
DEFAULT_DEAD_CALLS: Final = 100_000
DEAD_CALLS_DEADLINE_S: Final = 600.0
WARM_UP_SHARE: Final = 0.3
"""Of the time: pools, caches and allocator arenas fill; what grows after that is a leak."""
SETTLE_S: Final = 90.0
GROWTH_KIB: Final = 8 * 1024
GROWTH_SHARE: Final = 0.15
IDLE_S: Final = 2.0
IDLE_TICKS: Final = 60
"""Of the 200 that a spinning thread would need in IDLE_S."""
TURN_S: Final = 0.3


@dataclass
class Findings:
    """What is wrong; empty is good."""

    faults: list[str] = field(default_factory=list)

    def expect(self, condition: bool, text: str) -> None:
        if not condition:
            self.faults.append(text)


async def soak(
    folder: Path,
    *,
    seconds: float,
    callers: int,
    dead_calls: int = 0,
    idle: int = 0,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run it; what was wrong."""
    findings, tally, weather = Findings(), Tally(), Weather()
    async with application.serving() as application_port, running(folder, application_port) as mesh:
        await _until(lambda: passes(mesh.port), "a first call")
        share = seconds * WARM_UP_SHARE
        rounds = await _churn(mesh, weather, tally, seconds=share, callers=callers, seed=1)
        before = await _at_rest(mesh, findings)
        rounds += await _churn(mesh, weather, tally, seconds=seconds - share, callers=callers, seed=1000)
        if dead_calls:
            await _call_the_dead(mesh, dead_calls, callers, findings, say)
        if idle:
            # Memory for so many stays with the allocator: what is compared was measured before.
            settled = await _at_rest(mesh, findings)
            findings.faults += await idle_connections.rest(mesh, idle, say)
            after = await _at_rest(mesh, findings)
            after = {
                name: dataclasses.replace(found, resident_kib=settled[name].resident_kib)
                for name, found in after.items()
            }
        else:
            after = await _at_rest(mesh, findings)
        for side in mesh.sides:
            _compare(side, before[side.name], after[side.name], findings)
            say(f"{side.name}: {before[side.name]}; at the end {after[side.name]}")
            findings.expect(side.count("defects") == 0, f"{side.name}: defects in its log")
        await _idle(mesh, findings, say)
    findings.faults += [f"wrong bytes: {text}" for text in tally.wrong[:10]]
    findings.faults += [f"lost without a reason: {text}" for text in tally.lost[:10]]
    findings.expect(bool(tally.passed["echo"] and tally.passed["digest"]), "hardly anything passed")
    say(f"{rounds} changes; passed {dict(tally.passed)}, refused while forbidden {dict(tally.excused)}")
    say(f"lost {len(tally.lost)}, wrong {len(tally.wrong)}")
    return findings.faults


async def _churn(
    mesh: Mesh, weather: Weather, tally: Tally, *, seconds: float, callers: int, seed: int
) -> int:
    """Callers call while everything changes; how many changes there were."""
    stop = asyncio.Event()
    end = time.monotonic() + seconds
    rounds = 0
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(keep_calling(mesh.port, weather, tally, stop, seed=seed + number))
        chance = random.Random(seed)
        while time.monotonic() < end:
            await _change(mesh, weather, chance, rounds)
            rounds += 1
        stop.set()
    return rounds


async def _change(mesh: Mesh, weather: Weather, chance: random.Random, round_: int) -> None:
    """The next thing that an operator does, in turn."""
    turn = round_ % 8
    if turn == 0:
        await asyncio.to_thread(mesh.add_dead_instance, 2)
    elif turn == 2:
        await asyncio.to_thread(mesh.change_other_intention, chance)
    elif turn == 3:
        await asyncio.to_thread(mesh.change_upstreams, more=True)
    elif turn == 4:
        await asyncio.to_thread(mesh.rotate)
    elif turn == 5:
        await asyncio.to_thread(mesh.remove_instance, 2)
    elif turn == 6:
        weather.forbid()
        await asyncio.to_thread(mesh.deny)
        await _until(lambda: not passes(mesh.port), "the refusal")
        await asyncio.to_thread(mesh.allow)
        await _until(lambda: passes(mesh.port), "the way through again")
        weather.allow()
    elif turn == 7:
        await asyncio.to_thread(mesh.change_upstreams, more=False)
    await asyncio.sleep(TURN_S)


async def _call_the_dead(
    mesh: Mesh, calls: int, callers: int, findings: Findings, say: Callable[[str], None]
) -> None:
    """The application is away: each call costs two handshakes and a refusal, and leaves nothing."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and not listening: whoever connects is refused
        await asyncio.to_thread(mesh.move_application, reserved.getsockname()[1])
        await _until(lambda: not passes(mesh.port), "the application is away")
        left = iter(range(calls))
        made = [0] * callers
        end = time.monotonic() + DEAD_CALLS_DEADLINE_S

        async def keep_trying(number: int) -> None:
            for _ in left:
                if time.monotonic() > end:
                    return
                if await _answered(mesh.port):
                    findings.faults.append("a dead application answered")
                made[number] += 1

        await asyncio.gather(*(keep_trying(number) for number in range(callers)))
        await asyncio.to_thread(mesh.move_application, mesh.application_port)
    await _until(lambda: passes(mesh.port), "the application is back")
    say(f"{sum(made)} of {calls} calls to a dead application were refused")
    findings.expect(sum(made) > 0, "no call to a dead application was made")


async def _answered(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(application.ECHO)
            return bool(await reader.read(1))
        finally:
            writer.transport.abort()
    except ConnectionError:
        return False


async def _until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(SETTLE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - programs, not events
            await asyncio.sleep(0.05)


async def _at_rest(mesh: Mesh, findings: Findings) -> dict[str, Footprint]:
    """What both hold once no connection is open."""
    for side in mesh.sides:
        try:
            await _until(lambda side=side: side.open() == 0, "no open connection")  # type: ignore[misc]
        except TimeoutError:
            findings.faults.append(f"{side.name}: {side.open()} connections stay open")
    return {side.name: await _steady(side) for side in mesh.sides}


async def _steady(side: Side) -> Footprint:
    """Once its descriptors are as few as a moment before."""
    found = footprint(side.program.pid)
    while True:
        await asyncio.sleep(1.0)
        now = footprint(side.program.pid)
        if now.descriptors >= found.descriptors:
            return now
        found = now


def _compare(side: Side, before: Footprint, after: Footprint, findings: Findings) -> None:
    change = f"{side.name}: {before}, then {after}"
    # A connection to Consul that is being replaced counts twice for a moment.
    findings.expect(after.descriptors <= before.descriptors + 3, f"descriptors leak: {change}")
    findings.expect(after.threads <= before.threads + 1, f"threads leak: {change}")
    allowed = before.resident_kib * (1 + GROWTH_SHARE) + GROWTH_KIB
    findings.expect(after.resident_kib <= allowed, f"memory leaks: {change}")


async def _idle(mesh: Mesh, findings: Findings, say: Callable[[str], None]) -> None:
    """Nothing spins once nothing happens."""
    before = {side.name: processor_ticks(side.program.pid) for side in mesh.sides}
    await asyncio.sleep(IDLE_S)
    for side in mesh.sides:
        ticks = processor_ticks(side.program.pid) - before[side.name]
        say(f"{side.name}: {ticks} ticks of processor time in {IDLE_S:g} idle seconds")
        findings.expect(ticks < IDLE_TICKS, f"{side.name} spins: {ticks} ticks in {IDLE_S:g} idle seconds")


def main(words: Sequence[str] | None = None) -> int:
    """The command; 1 for a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="how long (300)")
    parser.add_argument("--callers", type=int, default=8, help="how many call at once (8)")
    parser.add_argument(
        "--dead-calls", type=int, default=DEFAULT_DEAD_CALLS, help="calls to a dead application (100000)"
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=idle_connections.most_connections(),
        help="connections at rest (10000, or what the limit of open files leaves)",
    )
    given = parser.parse_args(words)
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory(prefix="connect-proxy-soak-") as folder:
        faults = asyncio.run(
            soak(
                Path(folder),
                seconds=given.seconds,
                callers=given.callers,
                dead_calls=given.dead_calls,
                idle=given.idle,
            )
        )
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
