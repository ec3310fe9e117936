"""How many files may be open: each connection needs two descriptors."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
from typing import Final

log = logging.getLogger("connect_proxy.builtin")

ROOM: Final = 4096
"""Descriptors; 8 bytes of the kernel's memory each."""


def raise_descriptor_limit() -> int:
    """Lift the soft limit to the hard one; the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as exc:  # macOS: the kernel's own limit may be lower
            log.warning("the limit of open files stays %d: %s", soft, exc)
            return soft
    return hard


def make_room(descriptors: int = ROOM) -> None:
    """Have the kernel make its table of our descriptors this large, before there is a second thread.

    Later, whoever opens the 65th, 129th, 257th … descriptor of a process with threads is stopped for
    5 to 20 ms each time (Linux, ``expand_fdtable``: ``synchronize_rcu``).
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= limit < descriptors:
        descriptors = limit
    one = os.open(os.devnull, os.O_RDONLY)
    try:
        os.close(fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, descriptors - 1))
    except OSError as exc:
        log.debug("no room is made for %d open files: %s", descriptors, exc.strerror)
    finally:
        os.close(one)
