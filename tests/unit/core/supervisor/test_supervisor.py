"""The supervisor's loop with real small programs."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from connect_proxy.plugin_api import Supervision
from connect_proxy.supervisor.backoff import Backoff
from connect_proxy.supervisor.machine import RestartPolicy
from connect_proxy.supervisor.process import Spawning, spawn
from connect_proxy.supervisor.states import State
from connect_proxy.supervisor.supervisor import Process, Supervisor, describe_status

ENV = {"PATH": os.environ["PATH"]}
FAST = Backoff(free_starts=1000, base_s=0.01, cap_s=0.02)


def sh(script: str) -> Callable[[], Process]:
    return lambda: spawn(["sh", "-c", script], ENV, (), Spawning())


def supervised(
    script: str,
    supervision: Supervision | None = None,
    states: list[State] | None = None,
    **policy: object,
) -> Supervisor:
    seen = states if states is not None else []
    chosen = RestartPolicy(backoff=FAST, **policy)  # type: ignore[arg-type]
    return Supervisor(
        name="web-proxy",
        start=sh(script),
        supervise=lambda _process: supervision or Supervision(),
        policy=lambda _supervision: chosen,
        on_state=seen.append,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (files and states of other programs set no events)
            await asyncio.sleep(0.01)


def test_a_crashing_program_is_started_again_until_it_stays(tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = f'echo x >> {count}; test "$(wc -l < {count})" -ge 4 && exec sleep 60; exit 1'

    async def run() -> tuple[int, int]:
        supervisor = supervised(script)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: count.exists() and count.read_text().count("x") >= 4)
        supervisor.stop()
        return await running, supervisor.restarts

    status, restarts = asyncio.run(run())
    assert status == -signal.SIGTERM
    assert restarts == 3


def test_a_failed_first_start_ends_with_its_exit_code() -> None:
    async def never() -> bool:
        return False

    supervisor = supervised("exit 3", Supervision(is_ready=never), restart_before_ready=False)
    assert asyncio.run(supervisor.run()) == 3
    assert supervisor.state is State.FATAL


def test_readiness_is_asked_until_it_is_there() -> None:
    answers = [False, False, True]

    async def ready() -> bool:
        return answers.pop(0)

    async def run() -> list[State]:
        states: list[State] = []
        supervisor = supervised("exec sleep 60", Supervision(is_ready=ready), states)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.state is State.RUNNING)
        supervisor.stop()
        await running
        return states

    assert asyncio.run(run()) == [
        State.STARTING,
        State.RUNNING,
        State.DRAINING,
        State.STOPPING,
        State.STOPPED,
    ]


def test_a_program_that_ignores_the_stop_signal_is_killed(tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    script = f"trap '' TERM; touch {armed}; while :; do sleep 1; done"

    async def run() -> int:
        supervisor = supervised(script, Supervision(stop_timeout_s=0.05))
        running = asyncio.create_task(supervisor.run())
        await until(armed.exists)
        supervisor.stop()
        return await running

    assert asyncio.run(run()) == -signal.SIGKILL


@pytest.mark.parametrize("error", [RuntimeError("admin is gone"), TimeoutError("too long")])
def test_a_failing_drain_does_not_keep_a_proxy(error: Exception) -> None:
    async def drain(_timeout_s: float) -> None:
        raise error

    async def run() -> int:
        supervisor = supervised("exec sleep 60", Supervision(drain=drain))
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.state is State.RUNNING)
        supervisor.stop()
        return await running

    assert asyncio.run(run()) == -signal.SIGTERM


def test_a_proxy_is_drained_although_nobody_has_noticed_yet_that_it_is_ready() -> None:
    """Readiness is asked for now and then: callers may have come in between."""
    drained: list[float] = []

    async def never() -> bool:
        return False

    async def drain(timeout_s: float) -> None:
        drained.append(timeout_s)

    async def run() -> int:
        supervision = Supervision(is_ready=never, drain=drain, drain_timeout_s=7)
        supervisor = supervised("exec sleep 60", supervision)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.state is State.STARTING)
        supervisor.stop()
        return await running

    assert asyncio.run(run()) == -signal.SIGTERM
    assert drained == [7]


def test_a_second_stop_cuts_the_drain_short() -> None:
    drained = asyncio.Event()

    async def drain(_timeout_s: float) -> None:
        await drained.wait()

    async def run() -> int:
        supervisor = supervised("exec sleep 60", Supervision(drain=drain, drain_timeout_s=60))
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.state is State.RUNNING)
        supervisor.stop()
        await until(lambda: supervisor.state is State.DRAINING)
        supervisor.stop(now=True)
        return await running

    assert asyncio.run(run()) == -signal.SIGTERM


def test_cancelling_the_supervisor_leaves_no_process() -> None:
    async def run() -> int:
        supervisor = supervised("exec sleep 60")
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.pid is not None)
        pid = supervisor.pid
        assert pid is not None
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(run()), 0)


def test_an_end_is_said_in_words() -> None:
    assert describe_status(3) == "exit code 3"
    assert describe_status(-9) == "killed by SIGKILL"
    assert describe_status(-250) == "killed by signal 250"


def test_a_start_that_something_hinders_waits_for_a_retry_without_being_counted(tmp_path: Path) -> None:
    count = tmp_path / "count"
    hindrances = ["no token"]
    asked: list[str] = []

    def hindrance() -> str:
        asked.append(hindrances[-1])
        return hindrances[-1]

    async def run() -> int:
        supervisor = Supervisor(
            name="web-proxy",
            start=sh(f"echo x >> {count}; test $(wc -l < {count}) -ge 2 && exec sleep 60; exit 1"),
            supervise=lambda _process: Supervision(),
            policy=lambda _supervision: RestartPolicy(backoff=FAST),
            hindrance=hindrance,
        )
        running = asyncio.create_task(supervisor.run())
        await until(lambda: len(asked) == 1)
        assert supervisor.state is State.BACKOFF
        supervisor.retry()
        await until(lambda: len(asked) == 2)
        assert (supervisor.state, supervisor.restarts) == (State.BACKOFF, 0)
        hindrances.append("")
        supervisor.retry()
        await until(lambda: count.read_text().count("x") == 2 and supervisor.state is State.RUNNING)
        supervisor.stop()
        await running
        return supervisor.restarts

    assert asyncio.run(run()) == 1


def test_one_that_waits_for_a_retry_can_be_stopped() -> None:
    async def run() -> State:
        supervisor = Supervisor(
            name="web-proxy",
            start=sh("exit 1"),
            supervise=lambda _process: Supervision(),
            policy=lambda _supervision: RestartPolicy(backoff=FAST),
            hindrance=lambda: "no token",
        )
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.state is State.BACKOFF)
        supervisor.stop()
        await running
        return supervisor.state

    assert asyncio.run(run()) is State.STOPPED
