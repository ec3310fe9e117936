"""Reading one request of the agent's API as Consul reads it."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.types import Receive, Scope

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.headers import basic_auth
from connect_proxy.errors import ApiError, MalformedValueError
from connect_proxy.secret import Secret
from connect_proxy.settings.parsing import parse_duration

DEFAULT_WAIT_S: Final = 300.0
LONGEST_WAIT_S: Final = 600.0
TOKEN_HEADERS: Final = frozenset({b"x-consul-token", b"authorization"})


def token_of(scope: Scope) -> Secret:
    """Consul's order: ``?token=``, ``X-Consul-Token``, ``Authorization: Bearer``."""
    headers = dict(reversed(scope["headers"]))
    kind, _, word = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return Secret(
        first_param(scope, "token")
        or headers.get(b"x-consul-token", b"").decode("latin-1")
        or (word.strip() if kind.lower() == "bearer" else "")
    )


def as_agent(scope: Scope, access: AgentAccess) -> Scope:
    """The same request with the agent's own token in the place of the one that it carries."""
    headers = [pair for pair in scope["headers"] if pair[0] not in TOKEN_HEADERS]
    if access.token:
        headers.append((b"x-consul-token", access.token.reveal().encode()))
    if access.http_auth:
        headers.append((b"authorization", basic_auth(access.http_auth).encode()))
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    query = urlencode([pair for pair in pairs if pair[0] != "token"])
    return {**scope, "headers": headers, "query_string": query.encode()}


def params_of(scope: Scope) -> dict[str, tuple[str, ...]]:
    """The query's parameters, each with all its values."""
    query = scope["query_string"].decode("latin-1")
    return {name: tuple(values) for name, values in parse_qs(query, keep_blank_values=True).items()}


def first_param(scope: Scope, name: str) -> str:
    """The first value, which is the one that Consul takes; empty if there is none."""
    return params_of(scope).get(name, ("",))[0]


def wait_s(scope: Scope) -> float:
    """``?wait=`` in seconds. Raises ApiError (400), in Consul's words, for what is no duration."""
    text = first_param(scope, "wait")
    if not text:
        return DEFAULT_WAIT_S
    try:
        wait = parse_duration(text)
    except MalformedValueError as exc:
        raise ApiError(400, "Invalid wait time") from exc
    return min(wait if wait > 0 else DEFAULT_WAIT_S, LONGEST_WAIT_S)


async def client_gone(receive: Receive) -> None:
    """Returns when who asked has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
