"""Starting, signalling and reaping programs: the only place that does."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from connect_proxy.errors import ConnectProxyError, MissingProgramError, PassingError
from connect_proxy.plugin_api import InheritedDocument
from connect_proxy.supervisor.documents import HandedOver, hand_over, take_back
from connect_proxy.supervisor.identity import end_session

TRAMPOLINE: Final = Path(__file__).with_name("trampoline.py")
PASSING: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""Why a program is not started now, but may be later."""


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """The path to execute for argv[0]. Raises MissingProgramError naming what was looked for and where."""
    path = shutil.which(name, path=environment.get("PATH", os.defpath))
    if path is None and os.path.sep in name:
        what = "is not executable" if Path(name).exists() else "does not exist"
        message = f"cannot start {name!r}: it {what}"
        raise MissingProgramError(message)
    if path is None:
        message = (
            f"cannot start {name!r}: no such program in PATH ({environment.get('PATH', os.defpath)!r})"
        )
        raise MissingProgramError(message)
    return path


def become(argv: Sequence[str], env: Mapping[str, str], documents: Sequence[InheritedDocument]) -> NoReturn:
    """Put a program in this process's place. Returns only by raising.

    Call it with no event loop and no threads left.
    """
    path = find_program(argv[0], env)
    handed = hand_over(argv, documents)
    for descriptor in handed.descriptors:
        os.set_inheritable(descriptor, True)
    # Python ignores these two, and exec would hand that on: a program that relies on dying by SIGPIPE
    # would not.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, handed.argv, dict(env))  # noqa: S606  (no shell is the point)
    except OSError as exc:
        take_back(handed)
        message = f"cannot start {path!r}: {exc.strerror}"
        raise MissingProgramError(message) from exc


class ChildProcess:
    """A running child in a session of its own: a terminal's Ctrl-C reaches only us, who then drain it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self._left: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<ChildProcess {self.pid}>"

    async def wait(self) -> int:
        """Its end: the exit code, or minus the number of the signal that ended it."""
        if not hasattr(os, "pidfd_open"):
            return await asyncio.to_thread(self._process.wait)
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return self._process.wait()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        # Before it is reaped: until then nobody else can have its pid, and so its session's number.
        self._left = end_session(self.pid)
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended (Popen knows, so no stranger can be hit)."""
        self._process.send_signal(number)

    def end_session(self) -> tuple[int, ...]:
        """What it left in its session got SIGKILL when it ended; the pids."""
        return self._left

    def let_go(self) -> None:
        """Leave it running and forget it. It is not reaped by us."""
        self._process.returncode = 0  # what keeps Popen from warning of a child that still runs

    def reap(self) -> int:
        """Wait for its end right here. For one that is about to end."""
        return self._process.wait()

    def kill_group(self) -> None:
        """SIGKILL for it and for whatever it started in its session."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spawning:
    """How a child is started. The defaults are a foreground child's."""

    dies_with_us: bool = False
    """Where the system can do it, the child gets SIGTERM when this process dies, however it dies."""
    stdout: int | None = None
    """Descriptor for its standard output; None: ours."""
    stderr: int | None = None
    stdin: int | None = None
    before_exec: Callable[[int], None] | None = None
    """Called with the pid before the program runs: what it writes down is there before the program is."""


FOREGROUND: Final = Spawning(dies_with_us=True)


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    documents: Sequence[InheritedDocument],
    how: Spawning = FOREGROUND,
) -> ChildProcess:
    """Start a child in a session of its own.

    Raises MissingProgramError, PassingError for what the machine lacks at this moment, or what
    ``before_exec`` raises.
    """
    path = find_program(argv[0], env)
    handed = hand_over(argv, documents)
    gate = os.pipe2(os.O_CLOEXEC) if how.before_exec else None
    try:
        process = _popen(path, handed, env, how, gate[0] if gate else None)
    except OSError as exc:
        if gate:
            os.close(gate[1])
        message = f"cannot start {path!r}: {exc.strerror}"
        raise (PassingError if exc.errno in PASSING else ConnectProxyError)(message) from exc
    finally:
        for descriptor in (*handed.descriptors, *(gate or ())[:1]):
            os.close(descriptor)
    child = ChildProcess(process)
    if gate and how.before_exec:
        _open_gate(child, gate[1], how.before_exec)
    return child


def _popen(
    path: str, handed: HandedOver, env: Mapping[str, str], how: Spawning, gate: int | None
) -> subprocess.Popen[bytes]:
    number = int(signal.SIGTERM) if how.dies_with_us and sys.platform == "linux" else 0
    # Python itself adds LC_CTYPE to its environment where no locale is set (PEP 538).
    unset = "" if "LC_CTYPE" in env else "LC_CTYPE"
    words = [str(os.getpid()), str(number), str(-1 if gate is None else gate), unset, path, *handed.argv]
    needs_trampoline = number or gate is not None
    command = [sys.executable, "-I", "-S", str(TRAMPOLINE), *words] if needs_trampoline else handed.argv
    return subprocess.Popen(
        command,
        executable=None if needs_trampoline else path,
        env=dict(env),
        pass_fds=handed.descriptors if gate is None else (*handed.descriptors, gate),
        stdin=how.stdin,
        stdout=how.stdout,
        stderr=how.stderr,
        start_new_session=True,
    )


def _open_gate(child: ChildProcess, gate: int, before_exec: Callable[[int], None]) -> None:
    try:
        before_exec(child.pid)
    except BaseException:
        os.close(gate)  # it ends without having run the program
        child.reap()
        raise
    os.write(gate, b"\n")
    os.close(gate)
