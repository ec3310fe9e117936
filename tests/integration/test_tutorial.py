"""The tutorial on managed proxies, typed as it stands: every command of it, and what it prints."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.agents import client_environment
from support.embedded_agent import connect_proxy_program
from support.ports import free_block, free_port
from support.processes import Program, wait_until

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs/tutorial/first-managed-proxy.md"
STEP = re.compile(
    r"```sh\n(?P<command>.*?)```(?:\n\n```text\n(?P<output>.*?)```)?|(?P<interrupt>Press Ctrl-C)", re.S
)
PORTS = ("8500", "8080", "8081", "8082", "9191")
LASTING = ("python3 -m http.server", "connect-proxy agent")
"""What the page runs in a terminal of its own."""
REPEATABLE = ("connect-proxy status", "connect-proxy logs", "curl http")
"""What only looks: a reader would look again when something is not there yet."""


@dataclass(kw_only=True)
class Reader:
    """Somebody who types what the page says, with ports that are free on this machine."""

    folder: Path
    ports: dict[str, str] = field(default_factory=lambda: {port: str(free_port()) for port in PORTS})
    terminals: list[Program] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return client_environment(PATH=f"{connect_proxy_program().parent}:{os.environ['PATH']}")

    def own(self, text: str) -> str:
        return re.sub("|".join(PORTS), lambda found: self.ports[found[0]], text)

    def types(self, command: str, output: str | None) -> None:
        if command.startswith(LASTING):
            more = (
                f" -http-port {self.ports['8500']} -grpc-port -1 -dns-port -1" if "-dev" in command else ""
            )
            words = ["bash", "-c", f"exec {self.own(command.strip())}{more}"]
            name = f"terminal{len(self.terminals)}"
            self.terminals.append(
                Program(words, folder=self.folder, env=self.environment, name=name, cwd=self.folder)
            )
            return
        expected = None if output is None else re.compile(pattern(self.own(output)))

        def sees() -> bool:
            said = self.answer(command)
            return expected is None or bool(expected.fullmatch(said))

        if command.startswith(REPEATABLE):
            wait_until(sees, f"{output!r} from {command!r}, which says {self.answer(command)!r}")
        else:
            said = self.answer(command)
            assert expected is None or expected.fullmatch(said), said

    def answer(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.own(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout


OPEN = {
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": r"[\d:.TZ-]+",
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "[0-9a-f-]{36}",
    r"(exit code|signal) \d+": r"(exit code|signal) \d+",
    r"\b\d+(m\d+)?s?\b": r"\d+(m\d+)?s?",
    r"\s+": r"\s+",
}
"""What differs from run to run, by how it looks: moments, ids, the end of a proxy that was stopped while
it started, pids and times, the widths of columns."""


def pattern(output: str) -> str:
    """The page's output as an expression that another run's matches."""
    parts, rest = [], output.strip()
    while rest:
        shape = next((one for one in OPEN if re.match(one, rest)), None)
        length = len(re.match(shape, rest)[0]) if shape else len(re.match(r"\w+|.", rest)[0])  # type: ignore[index]
        parts.append(OPEN[shape] if shape else re.escape(rest[:length]))
        rest = rest[length:]
    return "".join(parts) + r"\s*"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(folder=tmp_path)
    block = free_block()
    (tmp_path / "definitions").mkdir(mode=0o755)
    here = tmp_path / "definitions" / "machine.hcl"
    here.write_text(
        f"ports {{ proxy_min_port = {block.first}, proxy_max_port = {block.last} }}\n"
        "connect { proxy { allow_managed_root = true } }\n"
    )
    here.chmod(0o644)
    try:
        yield made
    finally:
        made.answer("connect-proxy stop -all -data-dir data")
        for terminal in made.terminals:
            terminal.kill()
        block.release()


def test_every_command_does_what_the_page_says(reader: Reader) -> None:
    steps = list(STEP.finditer(PAGE.read_text()))
    assert len(steps) > 15
    for step in steps:
        if step["interrupt"]:
            assert reader.terminals[-1].end(signal.SIGINT) == 0
        else:
            command = step["command"].replace("mkdir definitions www", "mkdir www")
            reader.types(command, step["output"])
    with contextlib.suppress(FileNotFoundError):
        assert reader.answer("connect-proxy status -data-dir data").count("held") == 3
