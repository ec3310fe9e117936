"""What an operator should be told about a registration or its intentions: not rendered as meant. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from connect_proxy.mesh.intentions import Intention
from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.protocol import protocol_of

_CHECKS = (
    "Proxy.Expose.Checks is set, but the agent's API tells no paths of checks: no listeners are made for "
    "them, and what Consul asks through the proxy fails; list the paths in Proxy.Expose.Paths instead"
)


def notices(snapshot: ProxySnapshot) -> tuple[str, ...]:
    """One sentence each, the same for the same reason. Needs a snapshot that can be rendered."""
    return tuple(dict.fromkeys(_notices(snapshot)))


def _notices(snapshot: ProxySnapshot) -> Iterator[str]:
    registration = snapshot.registration
    if Knobs(registration.expose, where="Proxy.Expose").text("Checks").lower() in {"1", "true"}:
        yield _CHECKS
    is_http = protocol_of(Knobs(registration.config, where="Proxy.Config")).is_http
    for intention in snapshot.intentions:
        rule = f"the intention of {intention.source_name!r} for {intention.destination_name!r}"
        if reason := _why_it_denies(intention, is_http=is_http):
            yield f"{rule} {reason}"


def _why_it_denies(intention: Intention, *, is_http: bool) -> str:
    """Empty if it is carried out as it was written."""
    if intention.source_peer:
        return f"is left out: its source is in the peered cluster {intention.source_peer!r}"
    if intention.not_understood:
        unknown = ", ".join(intention.not_understood)
        return f"asks for what connect-proxy cannot check ({unknown}): what depends on it is denied"
    if intention.permissions and not is_http:
        return (
            "has permissions for HTTP requests, but the service's protocol is not http, http2 or grpc: "
            "every connection is denied; set protocol in Proxy.Config, or give the intention an action"
        )
    return ""
