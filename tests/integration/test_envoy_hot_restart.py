"""Envoy's hot restart through our command: a parent starts one epoch after the other."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from connect_proxy.errors import ProxyControlError
from connect_proxy_envoy.address import SocketAddress
from connect_proxy_envoy.admin_client import AdminClient
from support.agents import client_environment
from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_parts import envoy_binary
from support.repeated_calls import Calls, calling
from support.sidecars import register_pair, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

RESTARTER = """
import os, signal, sys

epoch = 0

def start(*_):
    global epoch
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        words = [word.replace("EPOCH", str(epoch)) for word in sys.argv[1:]]
        os.execv(words[0], words)
    print(f"epoch {epoch} is pid {pid}", flush=True)
    epoch += 1

signal.signal(signal.SIGHUP, start)
start()
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        sys.exit(1)
    print(f"pid {pid} ended with {os.waitstatus_to_exitcode(status)}", flush=True)
"""
"""What Envoy's hot-restarter.py does: HUP starts the next epoch beside the one that runs."""


def test_three_epochs_take_over_from_each_other_without_a_failed_call(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    upstream, admin_port = free_port(), free_port()
    script = tmp_path / "restarter.py"
    script.write_text(RESTARTER)
    admin = AdminClient(SocketAddress(host="127.0.0.1", port=admin_port))
    argv: list[str | Path] = ["python3", script, connect_proxy_program(), "envoy", "-sidecar-for", "web"]
    argv += ["-envoy-binary", envoy_binary(), "-admin-bind", f"127.0.0.1:{admin_port}"]
    argv += ["--", "--restart-epoch", "EPOCH", "--base-id", str(os.getpid() % 30000)]
    argv += ["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]
    environment = client_environment(CONSUL_HTTP_ADDR=embedded_agent.address)

    def epoch() -> int:
        try:
            return int(admin.server_info()["command_line_options"]["restart_epoch"])
        except ProxyControlError:
            return -1

    def runs(number: int) -> bool:
        return epoch() == number and admin.is_ready()

    def ended(count: int) -> bool:
        return restarter.stdout.count(" ended with 0") >= count

    def more_calls(calls: Calls, before: int) -> bool:
        return calls.made > before + 5

    with echo_server() as web:
        register_pair(embedded_agent, web_port=web.port, upstream_port=upstream)
        with (
            Program(argv, folder=tmp_path, env=environment, name="restarter") as restarter,
            start_sidecar("builtin", embedded_agent, "api", folder=tmp_path) as api_sidecar,
        ):
            restarter.wait_for(admin.is_ready, "epoch 0 is ready")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with calling(upstream) as calls:
                for number in (1, 2):
                    restarter.send(signal.SIGHUP)
                    restarter.wait_for(partial(runs, number), f"epoch {number} is ready")
                    restarter.wait_for(partial(ended, number), "the epoch before is gone")
                    before = calls.made
                    wait_until(partial(more_calls, calls, before), "calls to the new epoch")
            assert calls.failed == 0
