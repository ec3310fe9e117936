"""Starting, signalling and reaping programs: the only place that does."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from connect_proxy.errors import ConnectProxyError, MissingProgramError
from connect_proxy.plugin_api import InheritedDocument
from connect_proxy.supervisor.documents import hand_over, take_back

TRAMPOLINE = Path(__file__).with_name("death_signal.py")


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
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended (Popen knows, so no stranger can be hit)."""
        self._process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL for it and for whatever it started in its session."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    documents: Sequence[InheritedDocument],
    *,
    dies_with_us: bool,
) -> ChildProcess:
    """Start a child that inherits our standard streams. Raises MissingProgramError.

    ``dies_with_us``: where the system can do it, the child gets SIGTERM when this process dies, however
    it dies.
    """
    path = find_program(argv[0], env)
    handed = hand_over(argv, documents)
    command = [path, *handed.argv[1:]]
    if dies_with_us and sys.platform == "linux":
        parent, number = str(os.getpid()), str(int(signal.SIGTERM))
        command = [sys.executable, "-I", "-S", str(TRAMPOLINE), parent, number, path, *handed.argv]
    try:
        process = subprocess.Popen(
            command, env=dict(env), pass_fds=handed.descriptors, start_new_session=True
        )
    except OSError as exc:
        message = f"cannot start {path!r}: {exc.strerror}"
        raise ConnectProxyError(message) from exc
    finally:
        for descriptor in handed.descriptors:
            os.close(descriptor)
    return ChildProcess(process)
