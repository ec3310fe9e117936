"""Managed proxies in front of the embedded agent: one process, one port, nothing that outlives it."""

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from connect_proxy.supervisor.identity import identity_of
from support.agents import client_environment
from support.applications import ask, echo_server
from support.ports import free_block, free_port
from support.processes import Program, wait_until

pytestmark = pytest.mark.integration

PROGRAM = Path(sys.executable).with_name("connect-proxy")


def answer(url: str, token: str = "", method: str = "GET") -> tuple[int, bytes]:
    headers = {"X-Consul-Token": token} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_embedded_agent_runs_what_the_files_say_and_takes_it_along(end: int, tmp_path: Path) -> None:
    upstream = free_port()
    conf = tmp_path / "conf"
    conf.mkdir(mode=0o755)
    daemon = ["/bin/sh", "-c", "echo hello from the daemon $$ $CONNECT_PROXY_TOKEN; exec sleep 600"]
    with echo_server() as application:
        callee = {"name": "redis", "port": application.port, "connect": {"proxy": {}}}
        upstreams = [{"destination_name": "redis", "local_bind_port": upstream}]
        caller = {"name": "web", "port": 1, "connect": {"proxy": {"config": {"upstreams": upstreams}}}}
        custom = {"name": "custom", "port": 2, "connect": {"proxy": {"command": daemon}}}
        root = {"proxy": {"allow_managed_root": True}}
        free = free_block()
        range_of_ports = {"proxy_min_port": free.first, "proxy_max_port": free.last}
        document = {"connect": root, "ports": range_of_ports, "services": [callee, caller, custom]}
        definitions = conf / "services.json"
        definitions.write_text(json.dumps(document))
        definitions.chmod(0o644)
        ports = ["-http-port", "0", "-grpc-port", "-1", "-dns-port", "-1"]
        argv: list[str | Path] = [PROGRAM, "agent", "-dev", *ports, "-config-dir", conf, "-format", "json"]
        with Program(argv, folder=tmp_path / "logs", env=client_environment(), name="agent") as agent:
            agent.wait_for(lambda: agent.stdout.endswith("\n"), "the agent")
            base = "http://" + json.loads(agent.stdout)["http_addr"]
            agent.wait_for(lambda: ask(upstream, b"hello") == b"hello", "traffic through both proxies")
            daemons_line = re.compile(r"\[custom-proxy\] hello from the daemon (\d+) (\S+)\n")
            said = agent.wait_for(lambda: daemons_line.search(agent.stderr), "the daemon's line")
            assert said
            pid, token = said.groups()
            status, body = answer(f"{base}/v1/agent/connect/proxy/custom-proxy", token)
            assert (status, json.loads(body)["Command"]) == (200, daemon)
            assert answer(f"{base}/v1/agent/connect/proxy/custom-proxy")[0] == 403
            assert answer(f"{base}/v1/agent/connect/ca/leaf/custom", token)[0] == 200
            assert answer(f"{base}/v1/agent/connect/ca/leaf/redis", token)[0] == 403
            assert "web-proxy" in json.loads(answer(f"{base}/v1/agent/services")[1])
            os.kill(agent.pid, end)
            agent.wait()
        wait_until(lambda: identity_of(int(pid)) is None, "the daemon's end")
        wait_until(lambda: ask_quietly(upstream) == b"", "the end of web's proxy")
        free.release()


def ask_quietly(port: int) -> bytes:
    try:
        return ask(port, b"hello")
    except OSError:
        return b""
