"""The agent of managed proxies as an ordinary user runs it: nothing of this needs root or an allowance.

Root runs these tests and becomes ``nobody`` for each program; who is not root sees all of it anyway in the
other tests of the agent.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connect_proxy.managed.assignment import INHERITED
from support import ordinary_user
from support.applications import TcpServer, echo_server
from support.managed_agent import ManagedHost, wait_for_traffic
from support.ports import free_port
from support.processes import run, wait_until
from support.real_consul import RealConsul

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run programs as somebody else"),
]

NOBODY = ordinary_user.USER
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def host(real_consul: RealConsul) -> Iterator[ManagedHost]:
    program = ordinary_user.connect_proxy_program()
    with ordinary_user.own_folder() as folder:
        made = ManagedHost(consul=real_consul, folder=Path(folder) / "host", user=NOBODY, program=program)
        made.folder.mkdir()
        ordinary_user.give(made.folder)
        with made:
            yield made


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


def web_and_redis(host: ManagedHost, echo: TcpServer) -> int:
    port = free_port()
    host.service("redis", echo.port, {"proxy": {}})
    upstream = {"destination_name": "redis", "local_bind_port": port}
    host.service("web", free_port(), {"proxy": {"config": {"upstreams": [upstream]}}})
    return port


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_proxies_start_without_any_allowance_as_who_runs_the_agent(
    host: ManagedHost, echo: TcpServer
) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    nobody = ordinary_user.uid()
    assert "allow_managed_root" not in (host.definitions / "agent.hcl").read_text()
    assert {owner(pid) for pid in (agent.pid, *host.pids().values())} == {nobody}
    paths = [host.data, *host.data.rglob("*")]
    assert {path.stat().st_uid for path in paths} == {nobody}
    assert [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_command_has_the_documented_environment_and_nothing_else(host: ManagedHost) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    secrets = {"CONSUL_HTTP_TOKEN": "the-agents-own", "AWS_SECRET_ACCESS_KEY": "x", "LD_LIBRARY_PATH": "/x"}
    usual = {"PATH": "/usr/bin:/bin", "HOME": "/home/x", "LANG": "C", "TZ": "UTC"}
    host.start(env={**dict.fromkeys(INHERITED, ""), **secrets, **usual})
    pid = host.row("web-proxy")["pid"]
    program = Path(f"/proc/{pid}/cmdline")
    wait_until(lambda: program.read_text().split("\0")[:2] == ["sleep", "600"], "the command itself")
    lines = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    variables = dict(line.split("=", 1) for line in lines)
    assert sorted(variables) == sorted(line.split("=")[0] for line in lines)
    assert set(variables) == documented_variables()
    token = variables["CONNECT_PROXY_TOKEN"]
    assert host.api("/v1/agent/connect/proxy/web-proxy", token=token)["TargetServiceName"] == "web"
    address = f"127.0.0.1:{host.api_port}"
    given = {"CONNECT_PROXY_ID": "web-proxy", "CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_TOKEN": token}
    assert variables.items() >= (usual | given).items()


def documented_variables() -> set[str]:
    """Of the table on the page about the agent's API: a row may have several."""
    table = (DOCS / "reference/agent-api.md").read_text().split("## Environment of a command", 1)[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


# ---------------------------------------------------------------- files that may be followed, and others


def by_root(path: Path) -> None:
    os.chown(path, 0, 0)


def hidden(path: Path) -> None:
    by_root(path)
    path.chmod(0o600)


def by_somebody_else(path: Path) -> None:
    ordinary_user.give(path, ordinary_user.OTHER_USER)


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


DISTRUSTED: dict[Callable[[Path], None], str] = {
    hidden: "cannot be read: Permission denied",
    by_somebody_else: "neither root nor who runs this",
    open_to_all: "everybody may write to it (mode 0666)",
}


@pytest.mark.parametrize("spoil", DISTRUSTED, ids=lambda spoil: spoil.__name__)
def test_a_file_that_is_not_to_be_trusted_starts_nothing(
    host: ManagedHost, spoil: Callable[[Path], None]
) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    file = host.definitions / "web.json"
    spoil(file)
    refused = run(host.argv(), env=host.environment, user=NOBODY)
    assert refused.returncode == 3
    assert f"{file}: " in refused.stderr
    assert DISTRUSTED[spoil] in refused.stderr
    assert not host.data.exists()


@pytest.mark.parametrize("spoil", DISTRUSTED, ids=lambda spoil: spoil.__name__)
def test_a_file_that_is_not_to_be_trusted_any_more_changes_nothing(
    host: ManagedHost, spoil: Callable[[Path], None]
) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    host.start()
    before = host.pids()
    host.service("web", 8080, {"proxy": {"command": ["sleep", "601"]}})
    spoil(host.definitions / "web.json")
    refused = host.run("reload")
    assert refused.returncode == 3
    assert DISTRUSTED[spoil] in refused.stderr
    assert host.pids() == before


def test_roots_own_files_are_followed(host: ManagedHost) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    by_root(host.definitions / "web.json")
    by_root(host.definitions)
    host.start()
    assert host.row("web-proxy")["state"] == "running"


def test_a_file_that_its_group_may_write_to_is_warned_of_and_followed(host: ManagedHost) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    (host.definitions / "web.json").chmod(0o664)
    agent = host.start()
    warnings = [line for line in agent.stderr.splitlines() if "[WARN]" in line]
    assert [line for line in warnings if "web.json" in line and "chmod g-w it" in line] == warnings != []
    assert host.row("web-proxy")["state"] == "running"


# ---------------------------------------------------------------- somebody else at the agent's data


@pytest.mark.parametrize("agent_runs", [True, False], ids=["with the agent", "without it"])
def test_another_user_is_refused_and_told_who_may(host: ManagedHost, agent_runs: bool) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    for path in (host.definitions, *host.definitions.iterdir()):
        by_root(path)  # else an agent of the other user would not even read them
    host.start()
    before = host.pids()
    if not agent_runs:
        host.kill_agent()
    verbs = (["status"], ["logs"], ["logs", "web-proxy"], ["stop", "-all"])
    refusals: list[list[str | Path]] = [[host.program, *words, "-data-dir", host.data] for words in verbs]
    for argv in [*refusals, host.argv("-api-addr", "127.0.0.1:0")]:
        refused = run(argv, env=host.environment, user=ordinary_user.OTHER_USER)
        assert (refused.returncode, refused.stdout) == (1, ""), argv
        lines = refused.stderr.splitlines()
        (line,) = [line for line in lines if not line.startswith("connect-proxy: no agent runs")]
        assert "run this as the user 'nobody'" in line or "run this as the agent's user" in line
    assert host.pids() == before


def test_what_root_stops_without_an_agent_stays_the_agents_own(host: ManagedHost) -> None:
    host.service("web", 8080, {"proxy": {"command": ["sleep", "600"]}})
    host.start()
    host.kill_agent()
    stopped = run([host.program, "stop", "-all", "-data-dir", host.data], env=host.environment)
    assert (stopped.returncode, stopped.stdout) == (0, "stop: web-proxy\n")
    assert {path.stat().st_uid for path in host.data.rglob("*")} == {ordinary_user.uid()}
    host.start()
    assert host.command("start", "web-proxy") == "start: web-proxy\n"
    wait_until(lambda: host.row("web-proxy")["state"] == "running", "its start")
