"""Many proxies with real processes: what is wanted runs, what is not does not."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import DataDirectoryError, RefusedError, UnknownProxyError
from connect_proxy.managed.assignment import Assignment, inherited
from connect_proxy.managed.definitions.configuration import ManagedProxy, Origin
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.member import status_rows
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.managed.tokens import token_hash
from connect_proxy.secret import Secret
from connect_proxy.supervisor.identity import ProcessIdentity, identity_of
from support.processes import wait_until

TOKEN = "5f8a2f7e-7c1c-4f43-8d57-3d9c8d5a6f10"


def assignment(service: str, *command: str, **parts: Any) -> Assignment:
    proxy = ManagedProxy(
        id=f"{service}-proxy",
        name=f"{service}-proxy",
        service_id=service,
        service_name=service,
        backend="custom_exec",
        command=command or ("sleep", "600"),
        service_port=8080,
        origin=Origin(file="web.hcl", line=1),
    )
    example = Assignment(
        proxy=proxy,
        port=20001,
        access=AgentAccess(token=Secret(TOKEN)),
        environment=inherited(os.environ),
    )
    return dataclasses.replace(example, **parts)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    folder = DataDirectory(path=tmp_path / "data")
    folder.lock()
    return folder


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (processes set no events)
            await asyncio.sleep(0.01)


def pid_of(fleet: Fleet, proxy_id: str) -> int:
    supervisor = fleet.members[proxy_id].supervisor
    assert supervisor is not None
    return supervisor.pid or 0


def program_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_what_is_wanted_runs_and_what_is_not_wanted_any_more_ends(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        plan = await fleet.apply([assignment("web"), assignment("db")])
        assert plan.lines() == ("+ db-proxy", "+ web-proxy")
        await until(lambda: pid_of(fleet, "web-proxy") and pid_of(fleet, "db-proxy"))
        kept, ended = pid_of(fleet, "web-proxy"), pid_of(fleet, "db-proxy")
        plan = await fleet.apply([assignment("web")])
        assert plan.lines() == ("- db-proxy",)
        assert identity_of(ended) is None
        assert pid_of(fleet, "web-proxy") == kept
        await fleet.stop_all()
        assert identity_of(kept) is None

    run(life())


def test_only_what_changed_is_restarted(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web"), assignment("db")])
        await until(lambda: pid_of(fleet, "web-proxy") and pid_of(fleet, "db-proxy"))
        before = pid_of(fleet, "web-proxy"), pid_of(fleet, "db-proxy")
        plan = await fleet.apply([assignment("web"), assignment("db", "sleep", "601")])
        assert plan.lines() == ("~ db-proxy (restart)",)
        await until(lambda: pid_of(fleet, "db-proxy"))
        assert pid_of(fleet, "web-proxy") == before[0]
        assert pid_of(fleet, "db-proxy") != before[1]
        await fleet.stop_all()

    run(life())


def test_the_daemon_gets_consuls_environment_and_its_output_goes_to_its_logs(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "the agent's own")
    command = ("sh", "-c", "env; echo to stderr >&2; exec sleep 600")

    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", *command)])
        stderr = directory.logs_path / "web-proxy-stderr.log"
        await until(lambda: stderr.exists() and stderr.read_text() == "to stderr\n")
        await fleet.stop_all()

    run(life())
    lines = (directory.logs_path / "web-proxy-stdout.log").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert variables["CONNECT_PROXY_ID"] == "web-proxy"
    assert variables["CONNECT_PROXY_TOKEN"] == TOKEN
    assert variables["CONSUL_HTTP_ADDR"] == "127.0.0.1:8500"
    assert variables["CONSUL_CACERT"] == ""
    assert "the agent's own" not in variables.values()


def test_a_crashed_proxy_is_started_again_and_the_state_says_so(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        first = pid_of(fleet, "web-proxy")
        os.kill(first, signal.SIGKILL)
        await until(lambda: pid_of(fleet, "web-proxy") not in {0, first})
        await until(lambda: fleet.members["web-proxy"].state == "running")
        (row,) = status_rows(fleet.members, now=0)
        assert (row["state"], row["restarts"], row["last_exit"]) == ("running", 1, -9)
        await fleet.stop_all()

    run(life())


@pytest.mark.parametrize("when", ["at its first start", "when it crashes"])
def test_a_proxy_is_started_once_the_data_directory_can_be_written_again(
    directory: DataDirectory, when: str
) -> None:
    folder = directory.state_path.parent
    away = folder.with_name("away")

    async def life() -> None:
        fleet = Fleet(directory)
        if when == "at its first start":
            folder.rename(away)
        await fleet.apply([assignment("web")])
        if when == "when it crashes":
            await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
            folder.rename(away)
            os.kill(pid_of(fleet, "web-proxy"), signal.SIGKILL)
        await until(lambda: "No such file" in fleet.members["web-proxy"].record.last_error)
        away.rename(folder)
        await until(lambda: fleet.members["web-proxy"].state == "running")
        assert fleet.members["web-proxy"].record.last_error == ""
        process = directory.read()["web-proxy"].process
        assert process is not None
        assert process.pid == pid_of(fleet, "web-proxy")
        await fleet.stop_all()

    run(life())


def test_an_exit_that_a_restart_cannot_help_is_final(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", "sh", "-c", "exit 127"), assignment("db", "/nowhere/proxy")])
        await until(lambda: fleet.members["web-proxy"].state == "fatal")
        rows = {row["id"]: row for row in status_rows(fleet.members, now=0)}
        assert rows["web-proxy"]["last_exit"] == 127
        assert "'/nowhere/proxy'" in rows["db-proxy"]["last_error"]
        assert rows["db-proxy"]["pid"] is None
        await fleet.stop_all()

    run(life())


def test_proxies_outlive_the_agent_and_are_found_again(directory: DataDirectory) -> None:
    async def first() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        await fleet.leave()

    async def second() -> None:
        fleet = Fleet(directory)
        record = fleet.record("web-proxy")
        assert record is not None
        assert record.process is not None
        await fleet.apply([assignment("web")])
        await until(lambda: fleet.members["web-proxy"].state == "running")
        assert pid_of(fleet, "web-proxy") == record.process.pid
        os.kill(record.process.pid, signal.SIGKILL)
        await until(lambda: pid_of(fleet, "web-proxy") not in {0, record.process and record.process.pid})
        await fleet.stop_all()

    run(first())
    run(second())


def test_a_pid_of_another_boot_or_another_process_is_not_adopted(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        await fleet.stop_all()
        record = dataclasses.replace(
            fleet.members["web-proxy"].record,
            process=ProcessIdentity(boot_id="an earlier boot", pid=os.getpid(), start_time=1),
        )
        directory.write({"web-proxy": record})
        again = Fleet(directory)
        await again.apply([assignment("web")])
        await until(lambda: pid_of(again, "web-proxy"))
        assert pid_of(again, "web-proxy") != os.getpid()
        await again.stop_all()

    run(life())


def test_a_process_that_no_definition_asks_for_any_more_is_ended(directory: DataDirectory) -> None:
    async def first() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        await fleet.leave()

    async def second() -> None:
        fleet = Fleet(directory)
        record = fleet.record("web-proxy")
        assert record is not None
        assert record.process is not None
        await fleet.apply([])
        assert identity_of(record.process.pid) is None
        assert directory.read() == {}

    run(first())
    run(second())


@pytest.mark.parametrize("is_wanted", [True, False])
def test_an_agent_that_is_stopped_while_it_ends_what_an_older_one_left_forgets_no_process(
    directory: DataDirectory, tmp_path: Path, is_wanted: bool
) -> None:
    asked = tmp_path / "asked"
    stubborn = f"trap 'touch {asked}' TERM; touch {tmp_path}/up; while :; do sleep 600 & wait; done"

    async def life() -> None:
        first = Fleet(directory)
        await first.apply([assignment("web", "sh", "-c", stubborn)])
        await until((tmp_path / "up").exists)
        pid = pid_of(first, "web-proxy")
        await first.leave()
        second = Fleet(directory)
        applying = asyncio.create_task(second.apply([assignment("web")] if is_wanted else []))
        try:
            await until(asked.exists)
            applying.cancel()
            await asyncio.wait({applying})
            await second.leave()
            assert directory.read()["web-proxy"].process == identity_of(pid)
        finally:
            os.killpg(pid, signal.SIGKILL)

    run(life())


def test_a_stop_is_remembered_until_the_start(directory: DataDirectory) -> None:
    async def first() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: pid_of(fleet, "web-proxy"))
        await fleet.stop("web-proxy")
        assert fleet.members["web-proxy"].state == "held"

    async def second() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        assert fleet.members["web-proxy"].state == "held"
        fleet.start("web-proxy")
        await until(lambda: pid_of(fleet, "web-proxy"))
        await fleet.stop_all()

    run(first())
    run(second())


def test_a_stop_that_cannot_be_written_down_is_done_and_said(directory: DataDirectory) -> None:
    folder = directory.state_path.parent

    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        pid = pid_of(fleet, "web-proxy")
        folder.rename(folder.with_name("away"))
        with pytest.raises(
            DataDirectoryError, match="'web-proxy' is stopped, but the next agent would start"
        ):
            await fleet.stop("web-proxy")
        assert identity_of(pid) is None
        assert fleet.members["web-proxy"].state == "held"

    run(life())


def test_a_refused_proxy_is_not_started_and_says_why(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", refused="managed proxies are not run as root")])
        (row,) = status_rows(fleet.members, now=0)
        assert (row["state"], row["pid"]) == ("refused", None)
        assert row["last_error"] == "managed proxies are not run as root"
        await fleet.apply([assignment("web")])
        await until(lambda: pid_of(fleet, "web-proxy"))
        await fleet.stop_all()

    run(life())


def test_an_unknown_id_is_named_with_the_known_ones(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", refused="no")])
        with pytest.raises(UnknownProxyError, match=r"'nosuch'; there are web-proxy"):
            fleet.start("nosuch")

    run(life())


def test_no_secret_is_on_disk(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        assert TOKEN.encode() not in program_of(pid_of(fleet, "web-proxy"))
        await fleet.stop_all()

    run(life())
    for path in directory.path.rglob("*"):
        assert not path.is_file() or TOKEN not in path.read_text()


def test_without_a_data_directory_the_proxies_end_with_the_agent() -> None:
    async def life() -> int:
        fleet = Fleet(None)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        pid = pid_of(fleet, "web-proxy")
        await fleet.stop_all()
        return pid

    pid = asyncio.run(life())
    wait_until(lambda: identity_of(pid) is None, "the proxy's end")


def test_another_log_level_or_shell_restarts_nothing() -> None:
    quiet = assignment("web", log_level="INFO")
    chatty = assignment("web", log_level="DEBUG", environment={"PATH": "/elsewhere"})
    assert quiet.fingerprint == chatty.fingerprint
    assert quiet.fingerprint != assignment("web", port=1).fingerprint


def test_another_token_of_the_definition_is_a_restart_and_a_minted_one_is_none() -> None:
    web = assignment("web")
    minted = dataclasses.replace(web, access=AgentAccess(token=Secret("another")), token_accessor="acc")
    own = [
        dataclasses.replace(web, proxy=dataclasses.replace(web.proxy, token=Secret(text)))
        for text in ("own", "own", "new")
    ]
    assert minted.fingerprint == web.fingerprint
    assert own[0].fingerprint == own[1].fingerprint
    assert len({one.fingerprint for one in (web, *own)}) == 3


def test_a_token_that_is_found_only_while_it_runs_is_remembered(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", token_accessor="gone")])
        await fleet.apply([assignment("web", token_accessor="new")])
        assert directory.read()["web-proxy"].token_accessor == "new"
        await fleet.stop_all()

    run(life())


def test_a_token_that_only_the_agent_knows_is_minted_anew_at_each_start(directory: DataDirectory) -> None:
    command = ("sh", "-c", "echo $CONNECT_PROXY_TOKEN; exec sleep 600")
    told: list[str] = []

    async def life() -> list[str]:
        fleet = Fleet(directory, on_token=lambda: told.append(""))
        await fleet.apply([assignment("web", *command, mints_token=True)])
        stdout = directory.logs_path / "web-proxy-stdout.log"
        await until(lambda: stdout.exists() and stdout.read_text().count("\n") == 1)
        os.kill(pid_of(fleet, "web-proxy"), signal.SIGKILL)
        await until(lambda: stdout.read_text().count("\n") == 2)
        known = fleet.members["web-proxy"].record.token_hash
        await fleet.stop_all()
        return [*stdout.read_text().split(), known]

    first, second, known = asyncio.run(life())
    assert len({TOKEN, first, second}) == 3
    assert known == token_hash(Secret(second))
    assert len(told) == 2


def left_running(directory: DataDirectory) -> int:
    """The pid of a proxy that an agent before left."""

    async def life() -> int:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web")])
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        await fleet.leave()
        record = fleet.record("web-proxy")
        assert record is not None
        assert record.process is not None
        return record.process.pid

    return asyncio.run(life())


WAITING = "Consul does not answer, so its token cannot be read back"


def test_one_that_dies_before_its_token_is_known_again_waits_for_it(directory: DataDirectory) -> None:
    pid = left_running(directory)

    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", awaits=WAITING)])
        await until(lambda: pid_of(fleet, "web-proxy") == pid)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: fleet.members["web-proxy"].record.last_error == WAITING)
        (row,) = status_rows(fleet.members, now=0)
        assert (row["state"], row["pid"], row["restarts"]) == ("backoff", None, 0)
        assert (await fleet.apply([assignment("web", awaits=WAITING)])).lines() == ()
        assert (await fleet.apply([assignment("web")])).lines() == ()
        await until(lambda: fleet.members["web-proxy"].state == "running")
        await until(lambda: b"sleep" in program_of(pid_of(fleet, "web-proxy")))
        environment = Path(f"/proc/{pid_of(fleet, 'web-proxy')}/environ").read_text()
        assert f"CONNECT_PROXY_TOKEN={TOKEN}" in environment
        (row,) = status_rows(fleet.members, now=0)
        assert (row["restarts"], row["last_error"]) == (1, "")
        await fleet.stop_all()

    run(life())


def test_what_could_not_be_started_again_is_not_restarted(directory: DataDirectory) -> None:
    pid = left_running(directory)

    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", awaits=WAITING)])
        await until(lambda: pid_of(fleet, "web-proxy") == pid)
        with pytest.raises(RefusedError, match="'web-proxy' cannot be started now: Consul does not"):
            await fleet.restart("web-proxy")
        await until(lambda: pid_of(fleet, "web-proxy") == pid)
        await fleet.stop("web-proxy")
        with pytest.raises(RefusedError, match="cannot be started now"):
            fleet.start("web-proxy")
        await fleet.apply([assignment("web")])
        await until(lambda: fleet.members["web-proxy"].state == "running")
        await fleet.stop_all()

    run(life())


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_change_that_has_to_wait_for_the_token_is_made_up_for(
    directory: DataDirectory, when: str
) -> None:
    pid = left_running(directory)
    changed = assignment("web", "sleep", "601")

    async def life() -> None:
        fleet = Fleet(directory)
        first = changed if when == "at the start" else assignment("web")
        await fleet.apply([dataclasses.replace(first, awaits=WAITING)])
        plan = await fleet.apply([dataclasses.replace(changed, awaits=WAITING)])
        assert plan.lines() == ()
        await until(lambda: pid_of(fleet, "web-proxy") == pid)
        assert (await fleet.apply([changed])).lines() == ("~ web-proxy (restart)",)
        await until(lambda: b"601" in program_of(pid_of(fleet, "web-proxy")))
        assert identity_of(pid) is None
        assert (await fleet.apply([changed])).lines() == ()
        await fleet.stop_all()

    run(life())


@pytest.mark.parametrize("by_another_agent", [True, False])
def test_what_must_not_run_any_more_is_stopped_and_said(
    directory: DataDirectory, by_another_agent: bool
) -> None:
    pid = left_running(directory)
    refused = assignment("web", refused="managed proxies are not run as root")

    async def life() -> None:
        fleet = Fleet(directory)
        if not by_another_agent:
            await fleet.apply([assignment("web")])
            await until(lambda: pid_of(fleet, "web-proxy") == pid)
            plan = await fleet.apply([refused])
            assert plan.lines() == ("- web-proxy (refused: managed proxies are not run as root)",)
        await fleet.apply([refused])
        assert identity_of(pid) is None
        (row,) = status_rows(fleet.members, now=0)
        assert (row["state"], row["pid"], row["uptime_s"]) == ("refused", None, 0.0)
        assert row["last_error"] == "managed proxies are not run as root"
        with pytest.raises(RefusedError, match="not run as root"):
            fleet.start("web-proxy")
        assert (await fleet.apply([assignment("web")])).lines() == ("+ web-proxy",)
        await until(lambda: fleet.members["web-proxy"].state == "running")
        await fleet.stop_all()

    run(life())


def test_a_refusal_in_other_words_is_the_same_refusal(directory: DataDirectory) -> None:
    async def life() -> None:
        fleet = Fleet(directory)
        await fleet.apply([assignment("web", refused="connection refused")])
        assert (await fleet.apply([assignment("web", refused="no answer")])).lines() == ()
        (row,) = status_rows(fleet.members, now=0)
        assert row["last_error"] == "no answer"

    run(life())
