"""``connect-proxy agent -server``: what was written outlasts every end of the agent, and no secret does."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest

from support.agents import client_environment
from support.applications import echo_server
from support.consul_api import ConsulApi
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ROOT_ALLOWED, port_ranges, wait_for_traffic
from support.ports import free_block, free_port
from support.processes import run, wait_until
from support.repeated_calls import calling
from support.server_agent import ServerAgent, indexes, shown
from support.sidecars import consul, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

SECRETS = [b"5e1f-t0ken", b"qu3ry-t0ken", b"b3arer", b"PRIVATE KEY"]


def write_everything(agent: ServerAgent, folder: Path) -> None:
    """By Consul's own program where it can, else by the API."""
    consul(agent, "intention", "create", "-deny", "-meta", "why=because", "api", "web")
    consul(agent, "intention", "create", "-allow", "*", "db")
    check = {"ttl": "1h", "status": "warning", "notes": "by hand"}
    proxy = {"upstreams": [{"destination_name": "db", "local_bind_port": 9191}], "config": {"a": [1, "b"]}}
    service = {
        "name": "web",
        "port": 8080,
        "tags": ["v1"],
        "meta": {"team": "web"},
        "token": "5e1f-t0ken",
        "check": check,
        "connect": {"sidecar_service": {"check": {"ttl": "1h", "status": "passing"}, "proxy": proxy}},
    }
    (folder / "web.json").write_text(json.dumps({"service": service}))
    consul(agent, "services", "register", str(folder / "web.json"))
    consul(agent, "maint", "-enable", "-service=web", "-reason=upgrade")
    (folder / "ca.json").write_text(json.dumps({"Provider": "consul", "Config": {"LeafCertTTL": "24h"}}))
    consul(agent, "connect", "ca", "set-config", "-config-file", str(folder / "ca.json"))
    query = {"Name": "near", "Token": "qu3ry-t0ken", "Service": {"Service": "web", "Tags": ["v1"]}}
    assert agent.api.post("/v1/query", query).status == 200
    probe = {
        "Name": "probed",
        "HTTP": "http://user:b3arer@127.0.0.1:1/",
        "Interval": "1h",
        "Header": {"Authorization": ["Bearer b3arer"], "X-Of-Ours": ["kept"]},
    }
    assert agent.api.put("/v1/agent/check/register", probe).status == 200
    permissions = [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]
    names = {"source": "web", "destination": "db"}
    intention = {"Permissions": permissions}
    assert agent.api.put("/v1/connect/intentions/exact", intention, **names).status == 200


def settled(api: ConsulApi) -> object:
    """What the API shows, once the probe has said that nobody is there; without how it said so."""
    wait_until(lambda: api.get("/v1/agent/checks").json["probed"]["Output"], "the probe's first failure")
    found = shown(api)
    for check in (*found["/v1/agent/checks"].values(), *found["/v1/health/state/any"]):
        if check["CheckID"] == "probed":
            del check["Output"]
    return found


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_written_is_there_after_a_restart(end: int, tmp_path: Path) -> None:
    with ServerAgent(folder=tmp_path) as agent:
        write_everything(agent, tmp_path)
        key = agent.api.get("/v1/agent/connect/ca/leaf/web").json["PrivateKeyPEM"].splitlines()[1]
        before, seen = settled(agent.api), indexes(agent.api)
        agent.restart(end)
        assert settled(agent.api) == before
        roots = agent.api.get("/v1/connect/ca/roots").json["Roots"]
        assert [root["Active"] for root in roots] == [False, True]
        now = indexes(agent.api)
        assert {path: index for path, index in now.items() if index < seen[path]} == {}
        assert agent.files_with(key.encode()) == []
        assert {secret: agent.files_with(secret) for secret in SECRETS} == {
            secret: [] for secret in SECRETS
        }
        assert len(agent.files_with(b"X-Of-Ours")) == 1
        assert {path.stat().st_mode & 0o077 for path in agent.data.rglob("*")} == {0}


def test_sidecars_lose_no_call_while_the_agent_is_killed_and_their_leaves_are_replaced(
    tmp_path: Path,
) -> None:
    """Two that the agent manages, and an Envoy that it knows from its API alone."""
    upstream, of_envoy, ports = free_port(), free_port(), free_block()
    definitions = tmp_path / "definitions"
    definitions.mkdir(mode=0o755)
    with echo_server() as application:
        callee = {"name": "web", "port": application.port, "connect": {"proxy": {}}}
        upstreams = [{"destination_name": "web", "local_bind_port": upstream}]
        caller = {"name": "api", "port": 1, "connect": {"proxy": {"config": {"upstreams": upstreams}}}}
        (definitions / "services.json").write_text(json.dumps({"services": [callee, caller]}))
        (definitions / "agent.hcl").write_text(f"{ROOT_ALLOWED}\n{port_ranges(ports)}")
        words = ["-config-dir", str(definitions)]
        # Longer than a sidecar waits between two tries by then.
        with ServerAgent(folder=tmp_path, grace="8s", extra=words) as agent, agent.managing():
            proxy = {"Upstreams": [{"DestinationName": "web", "LocalBindPort": of_envoy}]}
            sidecar = {"Check": {"TTL": "1h", "Status": "passing"}, "Proxy": proxy}
            agent.api.register({"Name": "client", "Port": 1, "Connect": {"SidecarService": sidecar}})
            with start_sidecar("envoy", agent, "client", folder=tmp_path) as envoy:
                wait_ready(envoy, "envoy")
                for port in (upstream, of_envoy):
                    wait_for_traffic(port)
                lose_no_call(agent, (upstream, of_envoy))
            assert agent.files_with(b"PRIVATE KEY") == []
    ports.release()


def lose_no_call(agent: ServerAgent, ports: tuple[int, int]) -> None:
    before = {row["id"]: row for row in agent.proxies()}
    trust_domain = agent.announced["trust_domain"]
    with calling(ports[0]) as calls, calling(ports[1]) as others:
        wait_until(lambda: min(calls.made, others.made) > 10, "calls before the agent's end")
        agent.restart(signal.SIGKILL)
        active = agent.api.get("/v1/connect/ca/roots").json["ActiveRootID"]

        def renewed() -> bool:
            """Each service asks for one once it may, and it is on disk before it is answered."""
            leaves = {leaf["service"]: leaf["root_id"] for leaf in agent.state()["leaves"]}
            return leaves == dict.fromkeys(("api", "web", "client"), active)

        wait_until(renewed, "new leaves for all")

        def in_use() -> bool:
            rows = {row["id"]: row["certificate_expiry"] for row in agent.proxies()}
            return all(rows[name] > row["certificate_expiry"] for name, row in before.items())

        wait_until(in_use, "new certificates everywhere")
        after = calls.made, others.made
        wait_until(lambda: calls.made > after[0] + 20 and others.made > after[1] + 20, "calls with them")
    assert (calls.failed, others.failed) == (0, 0)
    pids = {row["id"]: row["pid"] for row in agent.proxies()}
    assert pids == {name: row["pid"] for name, row in before.items()}
    assert agent.announced["trust_domain"] == trust_domain


def test_a_state_that_cannot_be_read_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "server" / "state.json"
    state.parent.mkdir()
    argv: list[str | Path] = [
        connect_proxy_program(),
        "agent",
        "-server",
        "-data-dir",
        str(tmp_path),
        "-http-port",
        "0",
    ]
    for text, reason in (("{", "cannot be used"), ('{"version": 2}', "a newer connect-proxy wrote it")):
        state.write_text(text)
        done = run(argv, env=client_environment())
        assert (done.returncode, done.stdout) == (3, "")
        assert f"the state file '{state}'" in done.stderr
        assert reason in done.stderr
        assert state.read_text() == text


def test_what_does_not_fit_on_the_disk_is_refused_and_the_agent_goes_on(tmp_path: Path) -> None:
    """The limit for the size of a file stands for a disk that is full."""
    with ServerAgent(folder=tmp_path) as agent:
        assert agent.program is not None
        resource.prlimit(agent.program.pid, resource.RLIMIT_FSIZE, (40_000, 40_000))
        statuses = []
        for number in range(100):
            definition = {"Name": f"s{number}", "Meta": {"a": "x" * 500}}
            answer = agent.api.put("/v1/agent/service/register", definition)
            statuses.append(answer.status)
            if answer.status != 200:
                break
        assert (answer.status, statuses[:-1]) == (500, [200] * (len(statuses) - 1))
        assert f"'{agent.state_path}' in the data directory: File too large" in answer.text
        kept = {f"s{number}" for number in range(len(statuses) - 1)}
        assert kept
        assert set(agent.api.get("/v1/agent/services").json) == kept
        agent.restart(signal.SIGKILL)
        assert set(agent.api.get("/v1/agent/services").json) == kept
