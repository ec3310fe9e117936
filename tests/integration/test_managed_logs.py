"""``connect-proxy logs`` as a program: what operators see while proxies write, rotate, come and go."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from connect_proxy.managed.logs.files import LogFiles, RotationPolicy
from connect_proxy.managed.logs.rotation import rotate_all
from connect_proxy.managed.state_file import DataDirectory, ProxyRecord
from support.agents import client_environment
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ManagedHost
from support.processes import Program, run, wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

ROTATE_AT_ONCE = RotationPolicy(max_bytes=1, kept=1000)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    """What an agent left that is gone: two proxies' logs and its state."""
    made = DataDirectory(path=tmp_path / "data")
    made.lock()
    made.write({name: record(name) for name in ("web-proxy", "db-proxy")})
    made.unlock()
    for name in ("web-proxy", "db-proxy"):
        for stream in ("stdout", "stderr"):
            write(made, name, stream, f"first of {name}\n")
    return made


def record(proxy_id: str) -> ProxyRecord:
    service = proxy_id.removesuffix("-proxy")
    return ProxyRecord(id=proxy_id, service_id=service, service_name=service, backend="builtin")


def write(directory: DataDirectory, proxy_id: str, stream: str, text: str) -> None:
    descriptor = LogFiles(folder=directory.logs_path, proxy_id=proxy_id).open(stream)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def follower(directory: DataDirectory, *words: str) -> Program:
    """Returns once it follows."""
    argv: list[str | Path] = [connect_proxy_program(), "logs", *words, "-data-dir", directory.path]
    program = Program(argv, folder=directory.path.parent, env=client_environment(), name="logs")
    program.wait_for_output("first of")
    return program


def test_it_follows_one_proxy_and_ends_on_an_interrupt(directory: DataDirectory) -> None:
    with follower(directory, "-f", "web-proxy") as logs:
        write(directory, "db-proxy", "stdout", "of another\n")
        write(directory, "web-proxy", "stderr", "hel")
        write(directory, "web-proxy", "stderr", "lo\n")
        logs.wait_for_output("web-proxy-stderr: hello\n")
        assert logs.end(signal.SIGINT) == 128 + signal.SIGINT
        assert logs.stdout.splitlines() == [
            "web-proxy-stdout: first of web-proxy",
            "web-proxy-stderr: first of web-proxy",
            "web-proxy-stderr: hello",
        ]
        assert logs.stderr == ""


def test_it_follows_all_proxies_and_those_that_come_later(directory: DataDirectory) -> None:
    with follower(directory, "-f", "-n", "1") as logs:
        logs.wait_for_output("web-proxy-stdout: first of web-proxy\n")
        for name in ("web-proxy", "db-proxy", "new-proxy"):
            write(directory, name, "stdout", f"second of {name}\n")
        for name in ("web-proxy", "db-proxy", "new-proxy"):
            logs.wait_for_output(f"{name}-stdout: second of {name}\n")
        assert logs.end(signal.SIGINT) == 128 + signal.SIGINT


def test_it_follows_through_rotations(directory: DataDirectory) -> None:
    with follower(directory, "-f", "web-proxy") as logs:
        for number in range(300):
            write(directory, "web-proxy", "stdout", f"{number} {'x' * 200}\n")
            if number % 50 == 49:
                assert rotate_all(directory.logs_path, ROTATE_AT_ONCE)
        logs.wait_for_output("web-proxy-stdout: 299 ")
        said = [line.split(" ")[1] for line in logs.stdout.splitlines() if line.endswith("x")]
        assert said == [str(number) for number in range(300)]
        assert logs.end(signal.SIGINT) == 128 + signal.SIGINT


def test_a_reader_that_goes_away_ends_it_without_a_word(directory: DataDirectory) -> None:
    command = f"{connect_proxy_program()} logs -f -data-dir {directory.path} | head -n 1"
    with subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=client_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as pipeline:
        try:
            assert pipeline.stdout is not None
            assert "first of" in pipeline.stdout.readline()
            wait_until(lambda: says_something(directory, pipeline), "its end")
            assert pipeline.returncode == 128 + signal.SIGPIPE
            assert pipeline.stderr is not None
            assert pipeline.stderr.read() == ""
        finally:
            pipeline.kill()


def says_something(directory: DataDirectory, pipeline: subprocess.Popen[str]) -> bool:
    """A new line, without which nothing is written and so nobody notices."""
    write(directory, "web-proxy", "stdout", "more\n")
    return pipeline.poll() is not None


def test_the_agents_death_does_not_end_it_nor_the_lines(real_consul: RealConsul, tmp_path: Path) -> None:
    clock = ["sh", "-c", "i=0; while :; do echo first of web $i; i=$((i+1)); sleep 0.05; done"]
    with ManagedHost(consul=real_consul, folder=tmp_path / "host") as host:
        host.service("web", 8080, {"proxy": {"command": clock}})
        host.start()
        wait_until(lambda: "first" in host.command("logs", "web-proxy"), "its first line")
        with follower(DataDirectory(path=host.data), "-f", "-n", "100000", "web-proxy") as logs:
            host.kill_agent()
            seen = logs.stdout.count("\n")
            wait_until(lambda: logs.stdout.count("\n") > seen + 10, "lines without an agent")
            host.start()
            seen = logs.stdout.count("\n")
            wait_until(lambda: logs.stdout.count("\n") > seen + 10, "lines after its return")
            assert logs.end(signal.SIGINT) == 128 + signal.SIGINT
            numbers = [int(line.split()[-1]) for line in logs.stdout.splitlines() if "-stderr" not in line]
            assert numbers == list(range(len(numbers)))


def test_without_following_it_ends_by_itself(directory: DataDirectory) -> None:
    argv: list[str | Path] = [connect_proxy_program(), "logs", "-n", "1", "-data-dir", directory.path]
    done = run(argv, env=client_environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        f"{name}-proxy-{stream}: first of {name}-proxy"
        for name in ("db", "web")
        for stream in ("stderr", "stdout")
    ]
