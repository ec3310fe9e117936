"""No ACL token of a managed proxy stays behind, whenever its proxy went."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.acl_tokens import make_token
from support.applications import TcpServer, echo_server
from support.managed_agent import ManagedHost
from support.processes import run, wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

WITHOUT_ACL = " ".join(f'{name}_prefix "" {{ policy = "write" }}' for name in ("service", "node", "agent"))
WITH_ACL = f'{WITHOUT_ACL} acl = "write"'


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path / "consul", acl=True, durable=True) as running:
        yield running


@pytest.fixture
def host(consul: RealConsul, tmp_path: Path, echo: TcpServer) -> Iterator[ManagedHost]:
    with ManagedHost(consul=consul, folder=tmp_path / "host", token=consul.token) as made:
        for name in ("redis", "web"):
            made.service(name, echo.port, {"proxy": {}})
        yield made


def accessors(consul: RealConsul) -> dict[str, str]:
    """Of the managed proxies' tokens in Consul, by their service."""
    listed = [one for one in consul.api.get("/v1/acl/tokens").json if one.get("ServiceIdentities")]
    found = {one["ServiceIdentities"][0]["ServiceName"]: one["AccessorID"] for one in listed}
    assert len(found) == len(listed)
    return found


def known(host: ManagedHost) -> set[str]:
    """Accessors that the agent has on disk."""
    return set(json.loads((host.data / "proxy/tokens.json").read_text())["accessors"])


def test_removed_while_consul_is_away_it_is_deleted_when_consul_is_back(
    host: ManagedHost, consul: RealConsul
) -> None:
    agent = host.start()
    before = accessors(consul)
    assert sorted(before) == ["redis", "web"]
    consul.stop()
    host.remove("web.json")
    host.command("reload")
    assert host.pids().keys() == {"redis-proxy"}
    agent.wait_for(lambda: before["web"] in agent.stderr, "the token that is left")
    assert known(host) == set(before.values())
    consul.restart()
    wait_until(lambda: before["web"] not in known(host), "its deletion")
    assert accessors(consul) == {"redis": before["redis"]}
    assert agent.stderr.count("still to be deleted") == 1


def test_what_is_left_is_known_to_the_next_agent_and_a_new_definition_keeps_its_new_token(
    host: ManagedHost, consul: RealConsul
) -> None:
    host.start()
    before = accessors(consul)
    definition = (host.definitions / "web.json").read_text()
    consul.stop()
    host.remove("web.json")
    host.command("reload")
    host.kill_agent()
    host.write("web.json", definition)
    host.start()
    consul.restart()
    wait_until(lambda: host.row("web-proxy")["state"] == "running", "the new one")
    wait_until(lambda: before["web"] not in known(host), "the old token's deletion")
    now = accessors(consul)
    assert now["redis"] == before["redis"]
    assert now["web"] not in {before["web"], ""}
    assert known(host) == set(now.values())


def test_removed_while_no_agent_ran_it_is_deleted_at_the_next_start(
    host: ManagedHost, consul: RealConsul
) -> None:
    agent = host.start()
    before = accessors(consul)
    agent.end(signal.SIGTERM)
    host.remove("web.json")
    assert "- web-proxy" in run(host.argv("-dry-run"), env=host.environment).stdout
    assert accessors(consul) == before
    host.start()
    assert accessors(consul) == {"redis": before["redis"]}


def test_a_definition_that_gets_a_token_of_its_own_leaves_none_behind(
    host: ManagedHost, consul: RealConsul, echo: TcpServer
) -> None:
    host.start()
    before, pids = accessors(consul), host.pids()
    own = make_token(consul.api, 'service_prefix "" { policy = "write" }')
    host.service("web", echo.port, {"proxy": {}}, token=own.secret)
    assert "~ web-proxy (restart)" in host.command("reload", "-dry-run")
    assert accessors(consul) == before
    host.command("reload")
    wait_until(lambda: host.row("web-proxy")["pid"] not in {None, pids["web-proxy"]}, "its restart")
    # The process before it may still finish what it has, with the token that it was given.
    wait_until(lambda: accessors(consul) == {"redis": before["redis"]}, "the token's end")
    environ = Path(f"/proc/{host.row('web-proxy')['pid']}/environ").read_bytes()
    assert f"CONNECT_PROXY_TOKEN={own.secret}".encode() in environ
    assert host.row("redis-proxy")["pid"] == pids["redis-proxy"]
    host.service("web", echo.port, {"proxy": {}})
    host.command("reload")
    assert sorted(accessors(consul)) == ["redis", "web"]


def test_a_refusal_names_the_rule_once_and_a_reload_tries_again(
    host: ManagedHost, consul: RealConsul
) -> None:
    powerful = make_token(consul.api, WITH_ACL)
    host.token_file.write_text(powerful.secret)
    agent = host.start()
    before = accessors(consul)
    policy = consul.api.get(f"/v1/acl/token/{powerful.accessor}").json["Policies"][0]
    path = f"/v1/acl/policy/{policy['ID']}"
    consul.api.put(path, {"Name": policy["Name"], "Rules": WITHOUT_ACL})
    wait_until(
        lambda: consul.api.with_token(powerful.secret).get("/v1/acl/tokens").status == 403, "the policy"
    )
    host.remove("web.json")
    host.command("reload")
    assert known(host) == set(before.values())
    assert f"the token with accessor {before['web']} is left behind" in agent.stderr
    assert "it needs acl:write" in agent.stderr
    consul.api.put(path, {"Name": policy["Name"], "Rules": WITH_ACL})
    wait_until(
        lambda: consul.api.with_token(powerful.secret).get("/v1/acl/tokens").status == 200, "the policy"
    )
    host.command("reload")
    assert accessors(consul) == {"redis": before["redis"]}
    assert agent.stderr.count("is left behind") == 1
    assert known(host) == {before["redis"]}
