"""Churn of connections, instances, intentions and certificates together; then: nothing lost, nothing left.

    python tests/soak/run.py [--seconds 300] [--callers 8] [--dead-calls 100000] [--idle 10000]

Every stream is compared by hash or byte by byte, half-closed ones too. At the end both sidecars and the
agent hold as many descriptors and threads as before, and no more memory than the roots need that came
meanwhile: Consul lists a root for twice the lifetime of a leaf after its successor took over.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
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
from soak.churn import Churn, until  # noqa: E402
from soak.footprint import Footprint, footprint, processor_ticks  # noqa: E402
from soak.mesh import Mesh, passes, running  # noqa: E402

DEFAULT_SECONDS: Final = 300.0
DEFAULT_DEAD_CALLS: Final = 100_000
DEAD_CALLS_DEADLINE_S: Final = 600.0
WARM_UP_SHARE: Final = 0.3
"""Of the time: pools, caches and allocator arenas fill; what grows after that is a leak."""
GROWTH_KIB: Final = 3 * 1024
"""Tables and heaps that still find their size. A hundred bytes lost in each call are four times that."""
ROOT_KIB: Final = 128
"""What one more root costs a sidecar: parsed for callers and for instances, in the old and in the new
certificates, and as text in Consul's answer (80 measured)."""
POOL_THREADS: Final = (os.cpu_count() or 1) + 4
"""A pool of the standard library starts them one by one, as they are needed."""
IDLE_S: Final = 2.0
IDLE_TICKS: Final = 60
"""Of the 200 that a spinning thread would need in IDLE_S."""


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
    findings = Findings()
    async with application.serving() as application_port, running(folder, application_port) as mesh:
        await until(lambda: passes(mesh.port), "a first call")
        churn = Churn(mesh, callers)
        share = seconds * WARM_UP_SHARE
        await churn.run(share, seed=1)
        before, known = await _at_rest(mesh, findings), churn.rotations
        await churn.run(seconds - share, seed=1000)
        settled = await _at_rest(mesh, findings)
        if dead_calls:
            await _call_the_dead(mesh, dead_calls, callers, findings, say)
            settled = await _at_rest(mesh, findings)
        after = settled
        if idle:
            findings.faults += await idle_connections.rest(mesh, idle, say)
            after = await _at_rest(mesh, findings)
        for name, held in before.items():
            # Memory for so many at rest stays with the allocator: what is compared was measured before.
            now = dataclasses.replace(after[name], resident_kib=settled[name].resident_kib)
            _compare(name, held, now, findings, roots=churn.rotations - known)
            say(f"{name}: {held}; at the end {now}, with {churn.rotations - known} roots more")
        for side in mesh.sides:
            findings.expect(side.count("defects") == 0, f"{side.name}: defects in its log")
        await _idle(mesh, findings, say)
    _judge(churn, findings, say)
    return findings.faults


def _judge(churn: Churn, findings: Findings, say: Callable[[str], None]) -> None:
    """What the callers met."""
    tally = churn.tally
    findings.faults += [f"wrong bytes: {text}" for text in tally.wrong[:10]]
    findings.faults += [f"lost without a reason: {text}" for text in tally.lost[:10]]
    findings.expect(bool(tally.passed["echo"] and tally.passed["digest"]), "hardly anything passed")
    passed, excused = dict(tally.passed), dict(tally.excused)
    say(f"{churn.rounds} changes; passed {passed}, refused while forbidden {excused}")
    say(f"lost {len(tally.lost)}, wrong {len(tally.wrong)}")


async def _call_the_dead(
    mesh: Mesh, calls: int, callers: int, findings: Findings, say: Callable[[str], None]
) -> None:
    """The application is away: each call costs two handshakes and a refusal, and leaves nothing."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and not listening: whoever connects is refused
        await asyncio.to_thread(mesh.move_application, reserved.getsockname()[1])
        await until(lambda: not passes(mesh.port), "the application is away")
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
    await until(lambda: passes(mesh.port), "the application is back")
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


async def _at_rest(mesh: Mesh, findings: Findings) -> dict[str, Footprint]:
    """What each program holds once no connection is open."""
    for side in mesh.sides:
        try:
            await until(lambda side=side: side.open() == 0, "no open connection")  # type: ignore[misc]
        except TimeoutError:
            findings.faults.append(f"{side.name}: {side.open()} connections stay open")
    return {name: await _steady(pid) for name, pid in mesh.pids.items()}


async def _steady(pid: int) -> Footprint:
    """Once its descriptors are as few as a moment before."""
    found = footprint(pid)
    while True:
        await asyncio.sleep(1.0)
        now = footprint(pid)
        if now.descriptors >= found.descriptors:
            return now
        found = now


def _compare(name: str, before: Footprint, after: Footprint, findings: Findings, *, roots: int) -> None:
    change = f"{name}: {before}, then {after}"
    # A connection to Consul that is being replaced counts twice for a moment.
    findings.expect(after.descriptors <= before.descriptors + 3, f"descriptors leak: {change}")
    findings.expect(after.threads <= before.threads + POOL_THREADS, f"threads leak: {change}")
    allowed = before.resident_kib + GROWTH_KIB + roots * ROOT_KIB
    findings.expect(after.resident_kib <= allowed, f"memory leaks: {change}, {roots} roots more")


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
