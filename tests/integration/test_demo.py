"""The demo: what it shows, and that nothing of it stays, however it ends."""

from __future__ import annotations

import os
import re
import signal
import sys
import uuid
from pathlib import Path

import pytest

from support.processes import Program

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DEADLINE_S = 90.0
MARK = "DEMO_OF_TEST"
"""A variable that every process of one demo inherits, to find those that stay."""


class DemoRun(Program):
    """The demo, started; its temporary files in a folder of the test's own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self.temporary), MARK: self.mark}
        argv = [sys.executable, str(ROOT / "docs/demo/run.py"), *words]
        super().__init__(argv, folder=folder / "output", env=environment, name="demo", cwd=ROOT)

    def assert_nothing_is_left(self) -> None:
        assert list(self.temporary.iterdir()) == []
        assert processes_with(f"{MARK}={self.mark}") == []


def processes_with(variable: str) -> list[str]:
    """The command lines of all processes of ours that have this environment variable."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # ended meanwhile, or not ours
    return found


@pytest.mark.parametrize("backend", ["builtin", "custom_exec", "envoy"])
def test_it_shows_identities_a_refusal_and_a_recovery(backend: str, tmp_path: Path) -> None:
    with DemoRun(tmp_path, "--backend", backend, "--seconds", "0.3") as demo:
        assert demo.wait(deadline_s=DEADLINE_S) == 0, demo.picture()
        said = demo.stdout
        web = re.search(
            r"web's sidecar proved to be +spiffe://([\w-]+\.consul)/ns/default/dc/dc1/svc/web\n", said
        )
        api = re.search(
            r"api's sidecar proved to be +spiffe://([\w-]+\.consul)/ns/default/dc/dc1/svc/api\n", said
        )
        assert web is not None, said
        assert api is not None, said
        assert web[1] == api[1]
        steps = [
            "a caller without a certificate is refused",
            "requests/s",
            "refused after",
            "recovered after",
        ]
        assert [step for step in steps if step not in said] == []
        assert said.index("refused after") < said.index("recovered after")
        assert "left behind: nothing" in said
        demo.assert_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_it_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with DemoRun(tmp_path) as demo:
        demo.wait_for_output("are ready after")
        assert len(processes_with(f"{MARK}={demo.mark}")) >= 5
        assert demo.end(number, deadline_s=DEADLINE_S) == 130
        assert "interrupted" in demo.stderr
        demo.assert_nothing_is_left()


def test_a_failure_is_explained_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with DemoRun(tmp_path, "--backend", "custom_exec") as demo:
        demo.wait_for_output("are ready after")
        daemons = [pid for pid in children_of(demo.pid) if "mtls_daemon.py" in command_line(pid)]
        os.kill(daemons[0], signal.SIGKILL)
        assert demo.wait(deadline_s=DEADLINE_S) == 1
        assert "failed: " in demo.stderr
        demo.assert_nothing_is_left()


def children_of(parent: int) -> list[int]:
    """The direct children of a process, through all its threads."""
    return [
        int(pid)
        for path in Path(f"/proc/{parent}/task").glob("*/children")
        for pid in path.read_text().split()
    ]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
