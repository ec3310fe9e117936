"""What a managed proxy may ask of the agent's API with a token that Consul does not know. Pure.

It is to read the Connect data of its own service, and nothing else (Consul 1.2's promise for the
tokens of managed proxies). What is allowed is asked of Consul with the agent's own token, so the
list is one of what may be asked, not of what may not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.managed.definitions.configuration import ManagedProxy
from connect_proxy.mesh.registration import PREPARED_QUERY

AUTHORIZE: Final = "/v1/agent/connect/authorize"
REGISTER: Final = "/v1/agent/service/register"
DEREGISTER: Final = "/v1/agent/service/deregister/"
PROXY: Final = "/v1/agent/connect/proxy/"
MATCH: Final = "/v1/connect/intentions/match"
_OPEN: Final = frozenset({"/v1/agent/connect/ca/roots", "/v1/connect/ca/roots"})
_DISCOVERY: Final = ("/v1/health/connect/", "/v1/catalog/connect/")
_READS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiRequest:
    """One request, as far as the rules look at it."""

    method: str
    path: str
    """Decoded."""
    params: Mapping[str, tuple[str, ...]]
    body: bytes = b""
    """Of the requests whose body decides: :data:`AUTHORIZE` and :data:`REGISTER`."""


def is_clean(path: str) -> bool:
    """Whether *path* means the same to everybody: nothing in it walks up or stands still."""
    return path.startswith("/") and not {".", ".."} & set(path.split("/"))


def proxy_may(proxy: ManagedProxy, request: ApiRequest) -> bool:
    """Whether *proxy* may make this request with its local token."""
    if request.path == AUTHORIZE:
        return request.method in {"POST", "PUT"} and _target(request.body) == proxy.service_name
    if request.method not in _READS:
        return False
    if request.path == MATCH:
        return set(request.params.get("name", ())) == {proxy.service_name}
    queries = {
        f"/v1/query/{upstream.destination_name}/execute"
        for upstream in proxy.upstreams
        if upstream.destination_type == PREPARED_QUERY
    }
    allowed = _OPEN | {
        f"/v1/agent/connect/ca/leaf/{proxy.service_name}",
        f"/v1/agent/service/{proxy.id}",
        f"/v1/agent/service/{proxy.service_id}",
    }
    if request.path in queries:
        return request.params.get("connect", ("",))[-1].lower() in {"1", "t", "true"}
    discovery = any(request.path.startswith(start) and request.path != start for start in _DISCOVERY)
    return request.path in allowed or discovery


def has_managed_proxy(body: bytes) -> bool:
    """Whether a registration asks for a managed proxy (``Connect.Proxy``, in any of Consul's spellings).

    What is no JSON is not ours to judge: Consul refuses it.
    """
    return key_of(key_of(parsed(body), "connect"), "proxy") is not None


def service_id(body: bytes) -> str:
    """The id that a registration is for: its ``ID``, else its ``Name``."""
    document = parsed(body)
    return str(key_of(document, "id") or key_of(document, "name") or "")


def key_of(value: Any, name: str) -> Any:
    """What *value* has under *name*; Go's decoder takes any case, and the last one wins."""
    found = None
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).lower() == name:
                found = item
    return found


def _target(body: bytes) -> str:
    return str(key_of(parsed(body), "target") or "")


def parsed(body: bytes) -> Any:
    """The JSON value that *body* is; None for what is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
