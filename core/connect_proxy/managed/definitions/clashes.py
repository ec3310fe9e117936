"""What cannot work although every single file is right: pure.

Ports that two want, ids that two have, backends that nobody installed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    ManagedProxy,
    Origin,
    ServiceDefinition,
)
from connect_proxy.managed.definitions.service_decoding import upstream_value
from connect_proxy.managed.file_names import LONGEST_ID
from connect_proxy.managed.ports import explicit_port
from connect_proxy.managed.registrations import proxy_body
from connect_proxy.managed.wanted import COMMAND_BACKEND, wanted_proxies
from connect_proxy.mesh.registration import CONNECT_PROXY, Upstream
from connect_proxy.settings.suggestion import suggestion

PORT_MAX: Final = 65535
_ANY: Final = frozenset({"0.0.0.0", "::", "[::]", "*"})  # noqa: S104  # compared, not bound
_LOOPBACK: Final = frozenset({"", "127.0.0.1", "localhost", "::1"})


def clashes(configuration: AgentConfiguration, *, backends: Collection[str] = ()) -> tuple[str, ...]:
    """One line for each clash, in the order of the files; *backends* are the installed ones' names.

    Without names no backend is called unknown.
    """
    proxies = wanted_proxies(configuration)
    found = [
        *_ranges(configuration),
        *_ids(configuration, proxies),
        *(f"{proxy.origin}: {problem}" for proxy in proxies if (problem := _unnameable(proxy))),
        *_services(configuration.services),
        *_backends(proxies, backends),
        *(line for proxy in proxies for line in _repeated(proxy)),
        *(f"{proxy.origin}: {problem}" for proxy in proxies if (problem := _misconfigured(proxy))),
        *_ports(_claims(configuration, proxies)),
    ]
    return tuple(dict.fromkeys(found))


def _ranges(configuration: AgentConfiguration) -> Iterator[str]:
    ports = configuration.ports
    for name, first, last in (
        ("proxy", ports.proxy_min, ports.proxy_max),
        ("sidecar", ports.sidecar_min, ports.sidecar_max),
    ):
        said = f'ports: "{name}_min_port" is {first}, "{name}_max_port" is {last}'
        if last < first:
            yield f"{said}; the last port cannot be below the first"
        elif not 0 <= first <= last <= PORT_MAX or (first == 0) != (last == 0):
            yield f"{said}; give ports from 1 to {PORT_MAX}, or 0 for both to allocate none"


def _ids(configuration: AgentConfiguration, proxies: Iterable[ManagedProxy]) -> Iterator[str]:
    """Ids are one namespace in Consul: a proxy's is one too."""
    owners: dict[str, str] = {}
    ids = [(service.id, service.origin, "service") for service in configuration.services]
    ids += [(proxy.id, proxy.origin, f'the proxy of "{proxy.service_id}"') for proxy in proxies]
    for id_, origin, what in ids:
        if id_ in owners:
            yield f'{origin}: {what} has the id "{id_}" that {owners[id_]} has; give one another id'
        owners.setdefault(id_, f"{what} in {origin}")


def _unnameable(proxy: ManagedProxy) -> str:
    """Why neither certificate nor log files could have its name, empty if they can.

    The name stands in a certificate's SPIFFE URI and in the path of ``/v1/agent/connect/ca/leaf/``; a
    real Consul answers 500 and 301 to what is no segment of a path.
    """
    name = proxy.service_name
    if "/" in name or name in {".", ".."}:
        return (
            f'the service name "{name}" fits no certificate, so it can have no proxy; give one without "/"'
        )
    if not (name + proxy.id).isprintable():
        return f"{name!r} with the id {proxy.id!r} has characters that cannot be printed; give others"
    if (size := len(proxy.id.encode())) > LONGEST_ID:
        return f'the proxy\'s id "{proxy.id}" has {size} bytes; give the service an id that is shorter'
    return ""


def _services(services: Iterable[ServiceDefinition]) -> Iterator[str]:
    for service in services:
        if not 0 <= service.port <= PORT_MAX:
            yield _out_of_range(service.origin, f'the port of service "{service.id}"', service.port)
        if service.proxy is not None and not service.port and not service.body.get("SocketPath"):
            yield (
                f'{service.origin}: service "{service.id}" has a proxy and no port;'
                " give the port that the proxy leads to"
            )


def _backends(proxies: Iterable[ManagedProxy], installed: Collection[str]) -> Iterator[str]:
    if not installed:
        return
    known = sorted(installed)
    for proxy in proxies:
        if proxy.backend not in known:
            near = suggestion(proxy.backend, known)
            hint = f'; did you mean "{near}"?' if near else ""
            what = "needed for its command" if proxy.backend == COMMAND_BACKEND else "unknown"
            yield (
                f'{proxy.origin}: proxy "{proxy.id}": backend "{proxy.backend}" is {what}{hint}'
                f" (installed: {', '.join(known)})"
            )


def _repeated(proxy: ManagedProxy) -> Iterator[str]:
    seen: set[str] = set()
    for upstream in proxy.upstreams:
        if upstream.id in seen:
            yield (
                f'{proxy.origin}: proxy "{proxy.id}" has the upstream "{upstream.id}" twice;'
                " Consul takes it once"
            )
        seen.add(upstream.id)


def _misconfigured(proxy: ManagedProxy) -> str:
    """What is wrong with the keys of ``config`` that every managed proxy has, empty if nothing is."""
    if proxy.is_sidecar:
        return ""
    try:
        explicit_port(proxy.config)
    except ConfigurationError as exc:
        return f'proxy "{proxy.id}": {exc}'
    try:
        if proxy.service_port:
            proxy_body(proxy, port=1)
    except ConfigurationError as exc:
        return str(exc)
    return ""


# ---------------------------------------------------------------- ports


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    """Somebody who wants to listen."""

    host: str
    port: int
    socket: str = ""
    who: str
    origin: Origin
    upstream: bool = False
    service: bool = False
    """A service's own port: two services may well share one (behind one program, say)."""


def _claims(configuration: AgentConfiguration, proxies: Iterable[ManagedProxy]) -> Iterator[_Claim]:
    for service in configuration.services:
        address = str(service.body.get("Address", ""))
        if service.port and address in _LOOPBACK | _ANY:
            yield _Claim(
                host=address,
                port=service.port,
                who=f'service "{service.id}"',
                origin=service.origin,
                service=True,
            )
        yield from _unmanaged_upstreams(service)
        sidecar = service.body.get("Connect", {}).get("SidecarService", {})
        if service.sidecar is not None and sidecar.get("Port"):
            yield _Claim(
                host="0.0.0.0",  # noqa: S104  # compared, not bound
                port=sidecar["Port"],
                who=f'the sidecar of "{service.id}"',
                origin=service.origin,
            )
    for proxy in proxies:
        if port := 0 if proxy.is_sidecar or _misconfigured(proxy) else explicit_port(proxy.config):
            host = str(proxy.config.get("bind_address", "") or "0.0.0.0")  # noqa: S104
            yield _Claim(host=host, port=port, who=f'proxy "{proxy.id}" itself', origin=proxy.origin)
        yield from _upstreams(proxy.upstreams, f'proxy "{proxy.id}"', proxy.origin)


def _unmanaged_upstreams(service: ServiceDefinition) -> Iterator[_Claim]:
    """Of a proxy that somebody else runs, maybe elsewhere: looked at for itself, claims nothing."""
    if service.body.get("Kind") == CONNECT_PROXY:
        upstreams = [upstream_value(body) for body in service.body["Proxy"].get("Upstreams", ())]
        yield from (
            claim
            for claim in _upstreams(upstreams, f'proxy "{service.id}"', service.origin)
            if not 1 <= claim.port <= PORT_MAX and not claim.socket
        )


def _upstreams(upstreams: Iterable[Upstream], owner: str, origin: Origin) -> Iterator[_Claim]:
    for upstream in upstreams:
        yield _Claim(
            host=upstream.bind_host,
            port=upstream.local_bind_port,
            socket=upstream.local_bind_socket_path,
            who=f'upstream "{upstream.id}" of {owner}',
            origin=origin,
            upstream=True,
        )


def _ports(claims: Iterable[_Claim]) -> Iterator[str]:
    """Every claim beside those before it, found by port so that thousands cost nothing."""
    by_place: dict[int | str, list[_Claim]] = {}
    for claim in claims:
        if claim.upstream and not claim.port and not claim.socket:
            yield f"{claim.origin}: {claim.who} has no local port; give local_bind_port"
            continue
        if not claim.socket and not 1 <= claim.port <= PORT_MAX:
            yield _out_of_range(claim.origin, claim.who, claim.port)
            continue
        others = by_place.setdefault(claim.socket or claim.port, [])
        for other in others:
            if not (claim.service and other.service) and _overlap(claim, other):
                place = claim.socket or f"port {claim.port}"
                yield (
                    f"{claim.origin}: {claim.who} wants {place},"
                    f" which {other.who} has ({other.origin}); give one another"
                )
                break
        others.append(claim)


def _overlap(one: _Claim, other: _Claim) -> bool:
    if one.socket:
        return True
    hosts = {"127.0.0.1" if claim.host in _LOOPBACK else claim.host for claim in (one, other)}
    return len(hosts) == 1 or bool(hosts & _ANY)


def _out_of_range(origin: Origin, who: str, port: int) -> str:
    return f"{origin}: {who}: {port} is no port; give one from 1 to {PORT_MAX}"
