"""Reading the opaque ``Config`` maps of a registration, which are weakly typed.

Consul hands numbers over as JSON numbers or as strings, depending on who wrote them (HCL, JSON,
``consul services register``): both are taken. Consul's own proxy ignores a ``connect_timeout_ms``
that is not an integer, without a word; here it is honoured, and nonsense is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connect_proxy.errors import ConfigurationError

MAX_PORT: Final = 65535
MILLISECONDS: Final = 1000.0


def milliseconds(config: Mapping[str, Any], key: str, *, default: float, where: str) -> float:
    """``config[key]`` in milliseconds, as seconds. 0 or absent means *default* (seconds)."""
    value = number(config, key, where=where)
    return value / MILLISECONDS if value else default


def number(config: Mapping[str, Any], key: str, *, where: str, default: float = 0) -> float:
    """A number that is not negative, written as a number or as a string."""
    raw = config.get(key)
    if raw is None or raw == "":
        return default
    try:
        if isinstance(raw, bool):
            raise TypeError
        value = float(raw)
    except (TypeError, ValueError, OverflowError) as exc:
        message = f"{where}: {key} is {raw!r}, which is not a number; give a number"
        raise ConfigurationError(message) from exc
    if not 0 <= value < float("inf"):
        message = f"{where}: {key} is {raw!r}; give a number that is 0 or more"
        raise ConfigurationError(message)
    return value


def count(config: Mapping[str, Any], key: str, *, where: str, default: int = 0) -> int:
    """A whole number that is not negative."""
    value = number(config, key, where=where, default=default)
    if value != int(value):
        message = f"{where}: {key} is {config[key]!r}; give a whole number"
        raise ConfigurationError(message)
    return int(value)


def port(config: Mapping[str, Any], key: str, *, where: str) -> int:
    """A TCP port, 0 if absent."""
    value = count(config, key, where=where)
    if value > MAX_PORT:
        message = f"{where}: {key} is {value}; a port is at most {MAX_PORT}"
        raise ConfigurationError(message)
    return value


def text(config: Mapping[str, Any], key: str, *, where: str) -> str:
    """A string, empty if absent."""
    raw = config.get(key)
    if raw is None:
        return ""
    if not isinstance(raw, str):
        message = f"{where}: {key} is {raw!r}; give a string"
        raise ConfigurationError(message)
    return raw


def choice(config: Mapping[str, Any], key: str, *, choices: tuple[str, ...], where: str) -> str:
    """One of *choices*; absent is empty."""
    value = text(config, key, where=where)
    if value not in choices:
        known = ", ".join(repr(each) for each in choices if each)
        message = f"{where}: {key} is {value!r}; give {known} or leave it out"
        raise ConfigurationError(message)
    return value


def file_mode(raw: str, *, where: str) -> int | None:
    """``0600`` as Consul writes ``local_bind_socket_mode``; None if empty."""
    if not raw:
        return None
    try:
        mode = int(raw, 8)
    except ValueError as exc:
        message = f"{where}: socket mode is {raw!r}; give an octal number such as 0600"
        raise ConfigurationError(message) from exc
    if not 0 <= mode <= 0o777:
        message = f"{where}: socket mode is {raw!r}; give 0000 to 0777"
        raise ConfigurationError(message)
    return mode


def split_host_port(address: str, *, where: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` in parts."""
    host, colon, tail = address.rpartition(":")
    if not colon or not tail.isascii() or not tail.isdecimal() or int(tail[:9]) > MAX_PORT:
        message = f"{where}: {address!r} is no address; write host:port"
        raise ConfigurationError(message)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host or "127.0.0.1", int(tail)
