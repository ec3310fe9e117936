"""Handing bytes to a program by a path that leads to memory, not to a file that stays.

``descriptor``: an anonymous file (memfd on Linux, an unlinked temporary file elsewhere), inherited and
named ``/dev/fd/N``. ``named_pipe``: a 0600 fifo that a helper process fills once and unlinks; for
programs that refuse ``/dev/fd`` paths (Envoy 1.10 to 1.35, envoy issue 7258).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connect_proxy.errors import ConfigurationError
from connect_proxy.plugin_api import InheritedDocument

PIPE_TIMEOUT_S = 10
"""How long a fifo waits for its reader. Consul's pipe helper waits as long."""


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """The final argv, and the descriptors that the program must inherit."""

    argv: tuple[str, ...]
    descriptors: tuple[int, ...] = ()
    pipes: tuple[str, ...] = ()


def hand_over(argv: Sequence[str], documents: Sequence[InheritedDocument]) -> HandedOver:
    """Make each document reachable and put its path where its placeholder stands in *argv*.

    Raises ConfigurationError for a placeholder that no word holds, or an unknown delivery.
    """
    words = list(argv)
    descriptors: list[int] = []
    pipes: list[str] = []
    for document in documents:
        if not any(document.placeholder in word for word in words):
            message = f"no word of the command holds the placeholder {document.placeholder!r}"
            raise ConfigurationError(message)
        if document.delivery == "descriptor":
            descriptors.append(_anonymous_file(document.content))
            path = f"/dev/fd/{descriptors[-1]}"
        elif document.delivery == "named_pipe":
            path = _filled_pipe(document.content)
            pipes.append(path)
        else:
            message = f"a document is delivered by 'descriptor' or 'named_pipe', not {document.delivery!r}"
            raise ConfigurationError(message)
        words = [word.replace(document.placeholder, path) for word in words]
    return HandedOver(argv=tuple(words), descriptors=tuple(descriptors), pipes=tuple(pipes))


def take_back(handed: HandedOver) -> None:
    """Close our ends: the program has its own, or never came to be."""
    for descriptor in handed.descriptors:
        with contextlib.suppress(OSError):  # closed already: the wanted state
            os.close(descriptor)
    for path in handed.pipes:
        with contextlib.suppress(FileNotFoundError):  # read and unlinked already
            os.unlink(path)


def _anonymous_file(content: bytes) -> int:
    """An open descriptor at offset 0 of a file that has no name. Not inherited until it is asked for."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("connect-proxy", os.MFD_CLOEXEC)
    else:
        descriptor, name = tempfile.mkstemp(prefix="connect-proxy-")
        os.unlink(name)
    os.fchmod(descriptor, 0o600)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _filled_pipe(content: bytes) -> str:
    """The path of a fifo whose one reader gets *content*. A grandchild writes, so no zombie is left."""
    path = os.path.join(tempfile.gettempdir(), f"connect-proxy-{os.urandom(8).hex()}.json")
    os.mkfifo(path, 0o600)
    with _forked() as is_child:
        if is_child:
            _serve_pipe(path, content)
    return path


@contextlib.contextmanager
def _forked() -> Iterator[bool]:
    """Run the body in a detached grandchild (True) and go on at once here (False)."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        yield False
        return
    if os.fork():
        os._exit(0)
    try:
        os.setsid()
        yield True
    finally:
        os._exit(0)


def _serve_pipe(path: str, content: bytes) -> None:
    def give_up(_number: int, _frame: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os._exit(99)

    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.alarm(PIPE_TIMEOUT_S)
    with open(path, "wb", buffering=0) as pipe:  # blocks until the reader opens its end
        os.unlink(path)
        view = memoryview(content)
        while view:
            view = view[pipe.write(view) or 0 :]
