"""Real programs as parts of a test: started, waited for with a deadline, always ended.

What a program wrote is added to the failure of the ``with`` block around it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""Far above what anything takes here: only a broken program gets to it."""
_SHOWN_CHARACTERS = 6000


class ProgramFailedError(AssertionError):
    """A program ended, or did not get where the test needs it."""


def wait_until(condition: Callable[[], T], what: str, *, deadline_s: float = DEADLINE_S) -> T:
    """Ask until *condition* gives something true, and return that. Raises ProgramFailedError."""
    end = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        if time.monotonic() >= end:
            message = f"waited {deadline_s:g} s in vain for: {what} (last answer: {value!r})"
            raise ProgramFailedError(message)
        time.sleep(0.02)


class Program:
    """One started program, in a session of its own, its output in files.

    ``env`` is its whole environment. ``user``: who runs it, if not we ourselves; for that we have to be
    root. Use as a context manager: the end of the block ends it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        name: str = "",
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
        user: str = "",
    ) -> None:
        self.argv = [str(word) for word in argv]
        self.name = name or Path(self.argv[0]).name
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob(f"{self.name}-*.stdout")))
        self.stdout_path = folder / f"{self.name}-{number}.stdout"
        self.stderr_path = folder / f"{self.name}-{number}.stderr"
        with self.stdout_path.open("wb") as out, self.stderr_path.open("wb") as err:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=dict(os.environ if env is None else env),
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
                **_acting_as(user),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None:
            error.add_note(self.picture())

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, condition: Callable[[], T], what: str, *, deadline_s: float = DEADLINE_S) -> T:
        """As :func:`wait_until`; fails at once when the program ends before."""

        def checked() -> T:
            value = condition()
            if not value and not self.running:
                message = f"{self.name} ended with {self.process.returncode} before: {what}"
                raise ProgramFailedError(message)
            return value

        return wait_until(checked, what, deadline_s=deadline_s)

    def wait_for_output(self, text: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Until *text* stands in stdout or stderr."""
        self.wait_for(lambda: text in self.output, f"{text!r} from {self.name}", deadline_s=deadline_s)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, *, deadline_s: float = DEADLINE_S) -> int:
        """Ask it to end and return its exit code (negative: by that signal)."""
        if self.running:
            self.send(number)
        return self.wait(deadline_s=deadline_s)

    def wait(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Its exit code, once it ended by itself. Raises ProgramFailedError after the deadline."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as exc:
            message = f"{self.name} still runs after {deadline_s:g} s\n{self.picture()}"
            raise ProgramFailedError(message) from exc

    def kill(self) -> None:
        """End it and everything that it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def picture(self) -> str:
        """Its command line, state and the tail of its output."""
        state = "running" if self.running else f"exit code {self.process.returncode}"
        out, err = self.stdout[-_SHOWN_CHARACTERS:], self.stderr[-_SHOWN_CHARACTERS:]
        return f"--- {' '.join(self.argv)} ({state})\n--- stdout\n{out}\n--- stderr\n{err}"


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
    user: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself; its output is on the result. Never raises for its exit code."""
    return subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=None if env is None else dict(env),
        timeout=deadline_s,
        check=False,
        **_acting_as(user),
    )


def _acting_as(user: str) -> dict[str, Any]:
    """Of ``subprocess``: run it as that user, in that user's group alone."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
