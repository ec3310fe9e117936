"""The processes and the one folder of the demo, and how all of it is gone again afterwards."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_S = 10.0
POLL_S = 0.05
PORTS = range(10_000, 20_000)


class DemoError(Exception):
    """Something did not go as the demo promises."""


class Stage:
    """Starts programs, each in a session of its own; ends them all, in reverse order, when left."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="connect-proxy-demo-"))
        self.started: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.given_ports: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C would leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for _, process in reversed(self.started):
            _stop(process)
        shutil.rmtree(self.folder)

    def free_ports(self, count: int) -> list[int]:
        """TCP ports of 127.0.0.1 that nobody uses, each given out once.

        None that the system gives to whoever asks for any: it could be taken again before it is used.
        """
        candidates = (port for port in random.sample(PORTS, len(PORTS)) if port not in self.given_ports)
        found = list(islice(filter(_is_free, candidates), count))
        self.given_ports.update(found)
        return found

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str]) -> Path:
        """Start a program; where its standard output goes. Its standard error is beside it."""
        output = self.folder / f"{name}.out"
        with output.open("wb") as out, self.errors_of(name).open("wb") as err:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=dict(environment),
                cwd=self.folder,
                start_new_session=True,
            )
        self.started.append((name, process))
        return output

    def errors_of(self, name: str) -> Path:
        """Where the program *name* writes its standard error."""
        return self.folder / f"{name}.err"

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float = 30.0) -> float:
        """Seconds until *condition* held. Raises DemoError in vain, or when a program has ended."""
        start = time.monotonic()
        while not condition():
            for name, process in self.started:
                if process.poll() is not None:
                    message = f"{name} ended with {process.returncode} while waiting for {what}"
                    raise DemoError(message)
            if time.monotonic() - start > timeout_s:
                message = f"{what}: not within {timeout_s:.0f} s"
                raise DemoError(message)
            time.sleep(POLL_S)
        return time.monotonic() - start

    def last_words(self) -> str:
        """The end of what each program said, to explain a failure."""
        said = []
        for name, _ in self.started:
            lines = self.errors_of(name).read_text(errors="replace").splitlines()[-15:]
            said += [f"--- {name}", *lines] if lines else []
        return "\n".join(said)

    def left_behind(self) -> list[str]:
        """What is still there of it all. To be asked after the end."""
        left = [f"process {name}" for name, process in self.started if _is_alive(process.pid)]
        return [*left, *([str(self.folder)] if self.folder.exists() else [])]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections on this port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Politely, then firmly; with everything that it started."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _is_alive(group: int) -> bool:
    """Whether any process of the session's first group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
