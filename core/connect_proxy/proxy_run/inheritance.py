"""What a process got from the one that it takes over from (:mod:`.succession`)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.immutable import EMPTY

VARIABLE: Final = "CONNECT_PROXY_SUCCESSION"
READY: Final = b"ready"


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What a process got from the one before it."""

    listeners: Mapping[str, int] = EMPTY
    """Descriptors of listening sockets, by the names that the backend gave them."""
    ready: int | None = None
    """Where to say that it is ready."""


def inheritance(environment: Mapping[str, str]) -> Inheritance:
    """What *environment* says; nothing for a process that was started afresh. Raises ConfigurationError."""
    raw = environment.get(VARIABLE)
    if raw is None:
        return Inheritance()
    try:
        said = json.loads(raw)
        listeners = {str(name): int(number) for name, number in said["listeners"].items()}
        ready = int(said["ready"])
        for number in (*listeners.values(), ready):
            os.set_inheritable(number, False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        message = f'{VARIABLE} is "{raw}", which names no open descriptors ({exc}); unset it'
        raise ConfigurationError(message) from exc
    return Inheritance(listeners=listeners, ready=ready)


def announce(inherited: Inheritance) -> None:
    """Tell the process before us that it may go."""
    if inherited.ready is not None:
        with contextlib.suppress(OSError):  # it has gone already
            os.write(inherited.ready, READY)
            os.close(inherited.ready)
