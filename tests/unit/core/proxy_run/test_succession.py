from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from connect_proxy.plugin_api import Supervision
from connect_proxy.proxy_run import succession
from connect_proxy.proxy_run.control_door import VARIABLE as CONTROL_SOCKET
from connect_proxy.proxy_run.inheritance import READY, VARIABLE
from connect_proxy.proxy_run.succession import obstacle, start_successor

SUCCESSOR = f"""
import json, os, sys
said = json.loads(os.environ[{VARIABLE!r}])
os.write(said["listeners"]["public"], b"here")
if sys.argv[1] == "ready":
    os.write(said["ready"], {READY!r})
elif sys.argv[1] == "silent":
    sys.stdin.read()
"""


@pytest.mark.parametrize(("word", "serves"), [("ready", True), ("ends", False), ("silent", False)])
def test_only_a_process_that_says_ready_is_a_successor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, serves: bool
) -> None:
    (tmp_path / "program.py").write_text(SUCCESSOR)
    stdin, keep_open = os.pipe()
    monkeypatch.setattr(sys, "orig_argv", ["python", str(tmp_path / "program.py"), word])
    monkeypatch.setattr(succession, "END_TIMEOUT_S", 0.1)
    monkeypatch.setenv("WATCHDOG_PID", "1")
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(stdin, 0)
    try:
        supervision = Supervision(listeners=lambda: {"public": writing})
        timeout_s = 5.0 if word == "silent" else 60.0
        process = asyncio.run(start_successor(supervision, timeout_s=timeout_s))
        assert (process is not None) is serves
        assert os.read(reading, 100) == b"here"
    finally:
        os.dup2(saved, 0)
        for descriptor in (saved, stdin, keep_open, reading, writing):
            os.close(descriptor)
    if process is not None:
        process.wait()


async def nothing(_timeout_s: float) -> None:
    """Hands nothing over."""


def test_what_stands_in_the_way_is_said() -> None:
    able = Supervision(listeners=dict, hand_over=nothing)
    assert obstacle(able, {}, busy=False) == ""
    assert "backend" in obstacle(Supervision(), {}, busy=False)
    assert "already" in obstacle(able, {}, busy=True)
    assert "agent" in obstacle(able, {CONTROL_SOCKET: "/run/x.sock"}, busy=False)
