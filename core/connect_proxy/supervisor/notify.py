"""Telling the service manager how we are (``sd_notify(3)``): ready, reloading, stopping, alive.

The protocol is one datagram of ``NAME=value`` lines to the socket named in ``NOTIFY_SOCKET``.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from typing import Final

from connect_proxy.errors import ConfigurationError

SERVICE_MANAGER_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""To be taken out of a child's environment: it must not speak in our name."""

_log = logging.getLogger("connect_proxy.supervisor.notify")


class ServiceManager:
    """The service manager that started us; without one every call does nothing.

    A notification that cannot be delivered is logged as a warning, once, and never stops the
    proxy: what carries traffic does not depend on who watches it.
    """

    def __init__(self, address: str = "", *, watchdog_s: float = 0.0) -> None:
        """*address*: a path, or ``@name`` in the abstract namespace; empty for none."""
        if address and address[0] not in "/@":
            message = f'NOTIFY_SOCKET is "{address}": neither an absolute path nor "@name"; unset it'
            raise ConfigurationError(message)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._warned = False

    @property
    def is_there(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    @property
    def watchdog_interval_s(self) -> float:
        """How often :meth:`alive` must be called: half of what the manager tolerates; 0: never."""
        return self._watchdog_s / 2

    def ready(self, status: str = "") -> None:
        """Start-up or reload is complete (``READY=1``)."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it (``RELOADING=1``, ``Type=notify-reload``)."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, status: str = "") -> None:
        """The end has begun (``STOPPING=1``)."""
        self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status`` (``STATUS=``)."""
        self._send(*_status(text))

    def main_pid(self, pid: int) -> None:
        """Another process is the service's main one from now on (``MAINPID=``)."""
        self._send(f"MAINPID={pid}")

    def extend_timeout(self, seconds: float) -> None:
        """Start or stop takes so much longer (``EXTEND_TIMEOUT_USEC=``): said while draining."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def alive(self) -> None:
        """The watchdog's sign of life (``WATCHDOG=1``)."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
                datagram.connect(self._address)
                datagram.sendall("\n".join(lines).encode())
        except OSError as exc:
            if not self._warned:
                self._warned = True
                _log.warning("the service manager cannot be told %r: %s", lines[0], exc)


def service_manager(environment: Mapping[str, str], *, pid: int) -> ServiceManager:
    """The manager named in *environment*, as seen by process *pid*.

    ``WATCHDOG_USEC`` counts only for the process in ``WATCHDOG_PID``. Raises ConfigurationError
    for values that are no address or no number.
    """
    watchdog_pid, watchdog_us = (environment.get(name, "") for name in ("WATCHDOG_PID", "WATCHDOG_USEC"))
    for name, value in (("WATCHDOG_PID", watchdog_pid), ("WATCHDOG_USEC", watchdog_us)):
        if value and not (value.isascii() and value.isdigit()):
            message = f'{name} is "{value}": not a whole number; unset it'
            raise ConfigurationError(message)
    ours = not watchdog_pid or int(watchdog_pid) == pid
    watchdog_s = int(watchdog_us) / 1_000_000 if watchdog_us and ours else 0.0
    return ServiceManager(environment.get("NOTIFY_SOCKET", ""), watchdog_s=watchdog_s)


def _status(text: str) -> tuple[str, ...]:
    """The line for *text*, in one line whatever it holds; nothing for an empty text."""
    return (f"STATUS={' '.join(text.split())}",) if text else ()
