"""What went wrong below HTTP, told so that somebody can act on it. Pure."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.unreachable import told
from connect_proxy.errors import AgentUnreachableError


def unreachable(exc: Exception, access: AgentAccess) -> AgentUnreachableError:
    """The error for a failed connection. *exc* is the HTTP library's; its causes are searched."""
    causes = list(_causes(exc))
    if access.scheme == "https":
        from connect_proxy.consul import tls_failures

        causes = tls_failures.without_busy(causes)
        if (told_by_tls := tls_failures.failure(causes, access)) is not None:
            return told_by_tls
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None:
            return _socket_failure(cause, access)
    return told(_last_words(causes), "is that the agent's address, and is it running?", access)


def hung_up(what: str, access: AgentAccess) -> AgentUnreachableError:
    """The error of a connection that ended without an answer: there are several reasons for that.

    Consul counts connections per client address (``limits.http_max_conns_per_client``, 200): all
    proxies of a host together come to that.
    """
    if access.scheme == "https" and not access.client_cert:
        hint = "if it wants a client certificate, set -client-cert and -client-key"
    elif access.scheme == "http":
        hint = "if its port speaks TLS, use https:// in the address"
    else:
        hint = "see its log"
    often = "it may be restarting, or at its limit of connections (limits.http_max_conns_per_client)"
    return told(what, f"{often}; {hint}", access)


def _socket_failure(cause: OSError, access: AgentAccess) -> AgentUnreachableError:
    reason = cause.strerror or str(cause)
    if isinstance(cause, socket.gaierror):
        return told(f"its name is not found ({reason})", "check -http-addr or CONSUL_HTTP_ADDR", access)
    if isinstance(cause, FileNotFoundError):
        return told("no such socket", "check the path, and addresses.http of the agent", access)
    if cause.errno in {errno.EACCES, errno.EPERM}:
        return told(f"{reason}", "check the permissions of the socket", access)
    if cause.errno == errno.ECONNREFUSED:
        return told("connection refused", "start the agent, or set -http-addr or CONSUL_HTTP_ADDR", access)
    if cause.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
        return hung_up("the connection was reset", access)
    return told(reason.lower(), "check the address and the network", access)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """*exc* and what it was raised from, at every depth, groups included; nearest first."""
    waiting: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        waiting.extend((current.__cause__, current.__context__))


def _last_words(causes: list[BaseException]) -> str:
    """The nearest cause that says anything, else the name of its kind."""
    return next((str(cause) for cause in causes if str(cause)), type(causes[0]).__name__)
