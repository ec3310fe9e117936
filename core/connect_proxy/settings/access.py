"""From settings to :class:`~connect_proxy.consul.access.AgentAccess`: how the agent is reached."""

from __future__ import annotations

import os
from collections.abc import Callable

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ConfigurationError, MalformedValueError
from connect_proxy.secret import Secret
from connect_proxy.settings.address import AgentAddress, parse_address
from connect_proxy.settings.fields import CONSUL_API
from connect_proxy.settings.resolve import ResolvedSettings, malformed
from connect_proxy.settings.token import TokenChoice


def agent_access(settings: ResolvedSettings, choice: TokenChoice) -> AgentAccess:
    """Put together what the Consul client needs.

    Certificate files are opened here, so that a wrong path is reported with the setting that named
    it, also where TLS turns out not to be used. Whether a certificate and a key belong together is
    the client's business. Raises ConfigurationError, or UsageError for a flag's malformed address.
    """
    _check_pair(settings)
    for name in ("ca-file", "client-cert", "client-key"):
        _check(settings, name, _open_once)
    _check(settings, "ca-path", os.listdir)
    address = _address(settings)
    return AgentAccess(
        scheme=address.scheme or ("https" if settings.boolean("http-ssl") else "http"),
        host=address.host,
        port=address.port,
        socket_path=address.socket_path,
        token=choice.token,
        token_file=choice.file,
        http_auth=Secret(settings.text("http-auth")),
        ca_file=settings.text("ca-file"),
        ca_path=settings.text("ca-path"),
        client_cert=settings.text("client-cert"),
        client_key=settings.text("client-key"),
        tls_server_name=_without_port(settings.text("tls-server-name")),
        verify=settings.boolean("http-ssl-verify"),
        namespace=settings.text("namespace"),
        partition=settings.text("partition"),
        datacenter=settings.text("datacenter"),
    )


def _address(settings: ResolvedSettings) -> AgentAddress:
    row = next(row for row in CONSUL_API if row.name == "http-addr")
    said = settings.values[row.name]
    try:
        return parse_address(settings.text(row.name) or str(row.default))
    except MalformedValueError as exc:
        raise malformed(row, said, exc) from exc


def _check_pair(settings: ResolvedSettings) -> None:
    """A client certificate without its key proves nothing, nor does a key alone."""
    for given, missing in (("client-cert", "client-key"), ("client-key", "client-cert")):
        if settings.text(given) and not settings.text(missing):
            row = next(row for row in CONSUL_API if row.name == missing)
            message = (
                f'{settings.origin(given)} is "{settings.text(given)}" but there is no {missing};'
                f" give both: set -{missing} or {row.env} as well"
            )
            raise ConfigurationError(message)


def _check(settings: ResolvedSettings, name: str, attempt: Callable[[str], object]) -> None:
    path = settings.text(name)
    try:
        if path:
            attempt(path)
    except (OSError, ValueError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else exc
        message = (
            f'{settings.origin(name)} is "{path}", which cannot be read: {problem}; check path and mode'
        )
        raise ConfigurationError(message) from exc


def _open_once(path: str) -> None:
    with open(path, "rb") as opened:
        opened.read(1)


def _without_port(name: str) -> str:
    """*name* without a port, which certificates do not carry (Consul strips it too)."""
    host, colon, port = name.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else name
