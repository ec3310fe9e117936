"""The units say what systemd has to know."""

import shutil
import subprocess
from pathlib import Path

import pytest

from connect_proxy.cli.units import UNITS, unit

FILES = {
    "agent": "connect-proxy-agent.service",
    "server": "connect-proxy-server.service",
    "sidecar": "connect-proxy@web.service",
}


def settings(text: str) -> dict[str, dict[str, list[str]]]:
    """A unit file by the rules of systemd.syntax(7): sections, comments, name=value. Strict."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            assert line.endswith("]")
            assert line[1:-1] not in found, line
            section = found.setdefault(line[1:-1], {})
            continue
        name, equals, value = line.partition("=")
        assert equals, line
        assert name.strip() == name, line
        section.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_its_sections_and_no_setting_twice(name: str) -> None:
    found = settings(unit(name, program="/opt/bin/connect-proxy"))
    assert list(found) == ["Unit", "Service", "Install"]
    assert [key for part in found.values() for key, values in part.items() if len(values) > 1] == []
    assert found["Install"]["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize("name", ["agent", "server"])
def test_proxies_survive_the_agents_unit(name: str) -> None:
    service = settings(unit(name, program="/p"))["Service"]
    assert service["KillMode"] == ["process"]
    assert service["Delegate"] == ["yes"]
    assert service["Type"] == ["notify"]
    assert service["NotifyAccess"] == ["main"]
    assert service["StateDirectory"] == ["connect-proxy"]
    assert float(service["WatchdogSec"][0]) > 0
    # A hung agent is killed; its proxies are not, by KillMode. Else the next one finds its lock.
    assert "SendSIGKILL" not in service
    # Folders that go with the unit would go from under the proxies that live on.
    assert {"PrivateTmp", "RuntimeDirectory", "DynamicUser"} & service.keys() == set()


def test_the_agent_without_a_consul_is_the_other_one_without_a_token() -> None:
    agent, server = (settings(unit(name, program="/p"))["Service"] for name in ("agent", "server"))
    assert server.pop("ExecStart") == ["/p agent -server -config-dir /etc/connect-proxy.d"]
    del agent["ExecStart"], agent["LoadCredential"]
    assert server == agent
    text = unit("server", program="/p")
    assert [word for word in ("token", "consul.service", "connect-proxy-agent") if word in text] == []


@pytest.mark.parametrize("name", ["agent", "sidecar"])
def test_the_token_comes_as_a_credential_and_what_cannot_heal_is_not_tried_again(name: str) -> None:
    service = settings(unit(name, program="/p"))["Service"]
    assert service["LoadCredential"][0].startswith("consul-token:")
    assert "-token-file %d/consul-token" in service["ExecStart"][0]
    assert service["RestartPreventExitStatus"] == ["2 3 4 6"]
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_programs_that_take_the_sidecars_place_may_notify() -> None:
    service = settings(unit("sidecar", program="/p"))["Service"]
    assert service["NotifyAccess"] == ["all"]
    assert "WatchdogSec" not in service


def test_sidecars_are_not_run_as_the_agents_user() -> None:
    """To whom its data directory belongs, and with it the socket that commands the agent."""
    users = {name: settings(unit(name, program="/p"))["Service"]["User"][0] for name in UNITS}
    assert users["sidecar"] not in {users["agent"], users["server"]}


def test_a_path_with_blanks_and_percent_signs_is_kept() -> None:
    text = unit("sidecar", program="/opt/my 100% $apps/connect-proxy")
    assert 'ExecStart="/opt/my 100%% $$apps/connect-proxy" -sidecar-for' in text


@pytest.mark.parametrize("name", UNITS)
def test_systemd_itself_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: sudo apt-get install systemd"
    program = tmp_path / "connect-proxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / FILES[name]
    file.write_text(unit(name, program=str(program)))
    result = subprocess.run(
        [analyze, "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
