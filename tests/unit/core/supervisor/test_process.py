"""Real small programs, started, signalled and reaped."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from connect_proxy.errors import MissingProgramError, PassingError
from connect_proxy.plugin_api import InheritedDocument
from connect_proxy.supervisor.process import Spawning, find_program, spawn
from support.processes import wait_until

ENV = {"PATH": os.environ["PATH"]}


def test_a_program_is_found_in_the_path_of_its_own_environment(tmp_path: Path) -> None:
    program = tmp_path / "my-proxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_program("my-proxy", {"PATH": str(tmp_path)}) == str(program)


def test_a_program_that_is_not_there_is_named_with_where_it_was_looked_for() -> None:
    with pytest.raises(MissingProgramError, match=r"'no-such-proxy'.*PATH \('/nowhere'\)"):
        find_program("no-such-proxy", {"PATH": "/nowhere"})
    with pytest.raises(MissingProgramError, match="does not exist"):
        find_program("/nowhere/proxy", {})


def test_a_file_that_cannot_be_executed_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("")
    with pytest.raises(MissingProgramError, match="not executable"):
        find_program(str(tmp_path / "proxy"), {})


@pytest.mark.parametrize("dies_with_us", [True, False])
def test_the_exit_code_comes_back(dies_with_us: bool) -> None:
    async def run() -> int:
        return await spawn(["sh", "-c", "exit 7"], ENV, (), Spawning(dies_with_us=dies_with_us)).wait()

    assert asyncio.run(run()) == 7


def test_an_end_by_signal_is_negative() -> None:
    async def run() -> int:
        child = spawn(["sleep", "60"], ENV, (), Spawning())
        child.signal(signal.SIGTERM)
        return await child.wait()

    assert asyncio.run(run()) == -signal.SIGTERM


@pytest.mark.parametrize("dies_with_us", [True, False])
def test_a_child_has_just_its_own_environment_argv_and_documents(
    tmp_path: Path, dies_with_us: bool
) -> None:
    record = tmp_path / "record"
    code = (
        "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps([open(sys.argv[2]).read(),"
        " sys.argv[3:], sorted(name.split('=')[0] for name in"
        " open('/proc/self/environ').read().rstrip(chr(0)).split(chr(0)))]))"
    )
    argv = [sys.executable, "-I", "-c", code, str(record), "{doc}", "-l", "debug", "a b"]
    document = InheritedDocument(placeholder="{doc}", content=b"hello")
    # No locale, so that the Python in between is tempted to add one.
    variables = {"PATH": os.environ["PATH"], "ONLY": "this"}

    async def run() -> int:
        return await spawn(argv, variables, [document], Spawning(dies_with_us=dies_with_us)).wait()

    assert asyncio.run(run()) == 0
    assert json.loads(record.read_text()) == ["hello", ["-l", "debug", "a b"], ["ONLY", "PATH"]]


def test_a_child_is_in_a_session_of_its_own_and_its_group_can_be_killed() -> None:
    async def run() -> int:
        child = spawn(["sh", "-c", "sleep 60 & wait"], ENV, (), Spawning())
        assert os.getsid(child.pid) == child.pid
        child.kill_group()
        child.kill_group()
        return await child.wait()

    assert asyncio.run(run()) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import os
from connect_proxy.supervisor.process import Spawning, spawn
child = spawn(["sleep", "60"], {{"PATH": os.environ["PATH"]}}, ())
open({str(pid_file)!r} + ".new", "w").write(str(child.pid))
os.rename({str(pid_file)!r} + ".new", {str(pid_file)!r})
child._process.wait()
"""
    starter = subprocess.Popen([sys.executable, "-c", code])
    wait_until(pid_file.exists, "the child's pid")
    pid = int(pid_file.read_text())
    wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the child's exec")
    starter.kill()
    starter.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "the child's end")


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_is_written_down_at_the_gate_is_there_before_the_program_runs(
    tmp_path: Path,
) -> None:
    note, seen = tmp_path / "note", tmp_path / "seen"

    async def run() -> int:
        def write_down(pid: int) -> None:
            note.write_text(str(pid))

        script = f"cp {note} {seen}; echo $$ >> {seen}"
        child = spawn(["sh", "-c", script], ENV, (), Spawning(before_exec=write_down))
        return await child.wait()

    assert asyncio.run(run()) == 0
    pid = note.read_text()
    assert seen.read_text() == f"{pid}{pid}\n"


def test_a_program_does_not_run_when_its_pid_could_not_be_written_down(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def full(_pid: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        spawn(["touch", str(ran)], ENV, (), Spawning(before_exec=full))
    assert not ran.exists()


def test_too_few_descriptors_are_a_matter_of_the_moment() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
        with pytest.raises(PassingError, match=r"cannot start .*sleep': Too many open files"):
            spawn(["sleep", "60"], ENV, (), Spawning())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_program_left_in_its_session_is_ended_with_it() -> None:
    async def run() -> tuple[int, tuple[int, ...]]:
        child = spawn(["sh", "-c", "sleep 60 & exit 0"], ENV, (), Spawning())
        return await child.wait(), child.end_session()

    status, left = asyncio.run(run())
    assert status == 0
    assert len(left) == 1


def test_becoming_a_program_gives_it_default_signals_and_the_document(tmp_path: Path) -> None:
    code = """
import os
from connect_proxy.plugin_api import InheritedDocument
from connect_proxy.supervisor.process import become
document = InheritedDocument(placeholder="{doc}", content=b"from memory")
become(["sh", "-c", 'cat "$1"; grep SigIgn /proc/self/status', "sh", "{doc}"], dict(os.environ), [document])
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    document, ignored = outcome.stdout.split("SigIgn:")
    assert document == "from memory"
    assert int(ignored, 16) & (1 << (signal.SIGPIPE - 1)) == 0
