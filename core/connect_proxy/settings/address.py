"""The agent's address, in every spelling of ``CONSUL_HTTP_ADDR``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from connect_proxy.consul.access import DEFAULT_PORT
from connect_proxy.errors import MalformedValueError
from connect_proxy.secret import MASK

_URL_PORTS: Final = {"http": 80, "https": 443}
_FORMS: Final = "host:port, [::1]:8500, http://host:port, https://host:port or unix:///path"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentAddress:
    """Where the agent is."""

    scheme: str
    """``http``, ``https``, ``unix``, or empty where the text names none."""
    host: str = ""
    """Without brackets."""
    port: int = 0
    socket_path: str = ""
    """For ``unix`` only."""


def parse_address(text: str) -> AgentAddress:
    """Read *text* as Consul's API client does.

    A missing host is 127.0.0.1. A missing port is 8500, or the scheme's own (80, 443) after
    ``http://`` and ``https://``, which Consul reads as URLs. Raises MalformedValueError.
    """
    before, separator, rest = text.partition("://")
    if not separator:
        host, port = _host_and_port(text, default=DEFAULT_PORT)
        return AgentAddress(scheme="", host=host, port=port)
    scheme = before.lower()
    if scheme == "unix":
        if not rest:
            message = "without a path; write unix:///path/to/socket"
            raise MalformedValueError(message)
        return AgentAddress(scheme=scheme, socket_path=rest)
    if scheme not in _URL_PORTS:
        message = f'of the unknown scheme "{before}"; use {_FORMS}'
        raise MalformedValueError(message)
    host, port = _host_and_port(rest.removesuffix("/"), default=_URL_PORTS[scheme])
    return AgentAddress(scheme=scheme, host=host, port=port)


def displayed_address(text: str) -> str:
    """*text* without the password that a URL may carry: for messages."""
    return re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)?[^/]*@", rf"\1{MASK}@", text)


def _host_and_port(text: str, *, default: int) -> tuple[str, int]:
    """Split ``host``, ``host:port``, ``:port``, ``[v6]``, ``[v6]:port`` and a bare IPv6 address."""
    if "@" in text:
        message = "with a user name; put that into CONSUL_HTTP_AUTH=user:password"
        raise MalformedValueError(message)
    if match := re.fullmatch(r"\[([0-9A-Fa-f:.]*:[^\[\]/\s]*)\](?::(.*))?", text):
        host, port = match[1], match[2]
    elif text.count(":") > 1:
        host, port = text, None
    else:
        host, _, port = text.partition(":") if ":" in text else (text, "", None)
    if not re.fullmatch(r"[^\s/\[\]?#]*", host) or not text:
        message = f"not an address; use {_FORMS}"
        raise MalformedValueError(message)
    return host or "127.0.0.1", default if port is None else _port(port)


def _port(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536:
        return int(text)
    message = f'with the port "{text}"; a port is a number from 1 to 65535'
    raise MalformedValueError(message)
