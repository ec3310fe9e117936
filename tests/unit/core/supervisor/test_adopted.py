"""Processes that somebody else started."""

import asyncio
import subprocess

from connect_proxy.supervisor.adopted import AdoptedProcess, adopt
from connect_proxy.supervisor.identity import identity_of


def adopted(child: subprocess.Popen[bytes]) -> AdoptedProcess:
    identity = identity_of(child.pid)
    assert identity is not None
    process = adopt(identity)
    assert process is not None
    return process


def test_its_end_is_noticed_though_its_exit_code_cannot_be_known() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    process = adopted(child)

    async def end() -> int | None:
        waiting = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        process.signal(15)
        return await waiting

    assert asyncio.run(end()) is None
    process.close()
    assert child.wait() == -15


def test_its_group_is_killed() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    process = adopted(child)
    process.kill_group()
    assert child.wait() == -9
    process.signal(15)
    process.kill_group()
    process.close()


def test_a_process_that_is_gone_is_not_adopted() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = identity_of(child.pid)
    assert identity is not None
    child.kill()
    child.wait()
    assert adopt(identity) is None


def test_who_waits_no_longer_takes_it_from_nobody_else() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    process = adopted(child)

    async def end() -> int | None:
        first, second = asyncio.create_task(process.wait()), asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        process.signal(15)
        async with asyncio.timeout(60):
            return await second

    assert asyncio.run(end()) is None
    process.close()
    assert child.wait() == -15
