"""What connect-proxy has to know of a backend and of a running data plane. Public by :mod:`.plugin_api`."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendTraits:
    """What the agent of managed proxies may rely on. A backend that says nothing has none of it."""

    shares_ports: bool = False
    """With ``ProxyContext.shared_addresses`` it binds every TCP listener beside the process before it."""


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """How to look after what was started. Callables are asynchronous and may do I/O."""

    is_ready: Callable[[], Awaitable[bool]] | None = None
    """Whether traffic can flow now. None: connect-proxy itself probes the public listener."""
    drain: Callable[[float], Awaitable[None]] | None = None
    """Take the proxy out of the mesh and let its connections finish, for at most so many seconds."""
    drain_timeout_s: float = 10.0
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 5.0
    """After ``stop_signal``; then SIGKILL."""
    reload: Callable[[], Awaitable[None]] | None = None
    """Apply changed configuration in place. None: only a restart does."""
    reopen_logs: Callable[[], Awaitable[None]] | None = None
    set_log_level: Callable[[str], Awaitable[None]] | None = None
    listeners: Callable[[], Mapping[str, int]] | None = None
    """For a proxy inside connect-proxy: the descriptors that a new process takes over on SIGUSR2."""
    hand_over: Callable[[float], Awaitable[None]] | None = None
    """A new process listens in its place: let go of all listeners; connections may finish for so many
    seconds."""
    share_ports: Callable[[bool], Awaitable[Sequence[str]]] | None = None
    """Let a process beside bind the TCP addresses that this one listens on (True: set SO_REUSEPORT), or no
    other any more (False). Answers with these addresses as ``ProxyContext.shared_addresses`` has them;
    ``hand_over`` follows once that process is ready. Raises ProxyControlError where not all that it
    listens on can be shared."""
    status: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    """A JSON-able picture for the state dump."""
    permanent_exit_codes: frozenset[int] = frozenset()
    """Starting again after one of these cannot help."""
    explain_exit: Callable[[int], str] | None = None
    """A sentence for an exit status (negative: by that signal), empty if there is nothing to add."""
