"""From what was asked for to what is known: the registration, the agent, the right to its leaf."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Any

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul, connect_consul_plainly
from connect_proxy.consul.plain_transport import finished, is_plain
from connect_proxy.consul.sidecar_lookup import find_proxy
from connect_proxy.errors import ConnectProxyError, PermissionDeniedError, UsageError
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.registration import CONNECT_PROXY, Registration
from connect_proxy.plugin_api import DescribedRegistration, ProxyContext
from connect_proxy.proxy_run.inheritance import inheritance
from connect_proxy.proxy_run.request import RunRequest
from connect_proxy.proxy_run.runtime_directory import runtime_directory

log = logging.getLogger("connect_proxy.run")


def resolve_plainly(request: RunRequest) -> ProxyContext | None:
    """As :func:`resolve`, by the shortest way there is; None where the long one has to be gone.

    For ``-bootstrap``: nothing of the HTTP library nor of an event loop is imported. What goes wrong
    is not told here: the long way meets it again and tells it better.
    """
    if not request.bootstrap or request.wait_s > 0 or not is_plain(request.access):
        return None
    try:
        return finished(resolve(request, connect=connect_consul_plainly))
    except ConnectProxyError as exc:
        log.debug("going the long way: %s", exc)
        return None


async def resolve(
    request: RunRequest, connect: Callable[[AgentAccess], ConsulClient] = connect_consul
) -> ProxyContext:
    """Everything that the hooks decide from. Raises what a lookup at the agent can raise.

    Unless only the bootstrap is wanted, the leaf is asked for once: without service:write nothing
    would come up, and that is to be said before anything is started.
    """
    node = request.backend.wanted_node(request.options)
    described = None if node else _described(request)
    client = connect(request.access)
    try:
        registration = described.registration if described else await _looked_up(request, client, node)
        agent_self = await _agent_self(client)
        if not request.bootstrap and registration.kind == CONNECT_PROXY:
            await client.leaf(registration.destination_service_name)
    finally:
        await client.aclose()
    warn_of_open_doors(registration)
    context = _context(request, registration, agent_self)
    return dataclasses.replace(context, described=described)


def _described(request: RunRequest) -> DescribedRegistration | None:
    """The proxy that the command line describes, where it names none that is registered."""
    if request.proxy_id or request.sidecar_for or request.backend.wanted_gateway(request.options):
        if _describes_one(request):
            log.warning("a registered proxy is named: what the command line describes itself is left aside")
        return None
    described = request.backend.describe_registration(request.options)
    if described is None:
        message = (
            "which proxy is not said; give -sidecar-for SERVICE-ID or -proxy-id PROXY-ID"
            " (or set CONNECT_SIDECAR_FOR or CONNECT_PROXY_ID)"
        )
        raise UsageError(message)
    return described


def _describes_one(request: RunRequest) -> bool:
    try:
        return request.backend.describe_registration(request.options) is not None
    except UsageError:
        return True


async def _looked_up(request: RunRequest, client: ConsulClient, node: str) -> Registration:
    proxy_id, kind = request.proxy_id, CONNECT_PROXY
    if (gateway := request.backend.wanted_gateway(request.options)) is not None:
        kind = gateway.kind
        if gateway.definition is not None:
            proxy_id = proxy_id or str(gateway.definition["ID"])
            await client.register_service({**gateway.definition, "ID": proxy_id})
            log.info("registered %r as %r", proxy_id, kind)
    return await find_proxy(
        client,
        proxy_id=proxy_id,
        sidecar_for=request.sidecar_for,
        kind=kind,
        node=node,
        wait_s=request.wait_s,
    )


async def _agent_self(client: ConsulClient) -> Mapping[str, Any] | None:
    try:
        agent_self: Mapping[str, Any] = frozen(await client.agent_self())
    except PermissionDeniedError:
        log.debug("the token may not read agent/self (agent:read)")
        return None
    return agent_self


def _context(
    request: RunRequest, registration: Registration, agent_self: Mapping[str, Any] | None
) -> ProxyContext:
    config = (agent_self or {}).get("Config", {})
    return ProxyContext(
        registration=registration,
        agent=request.access,
        agent_self=agent_self,
        datacenter=registration.datacenter or str(config.get("Datacenter", "")),
        options=request.options,
        passthrough=request.passthrough,
        log_level=request.log_level,
        log_json=request.log_json,
        environment=request.environment,
        runtime_dir=runtime_directory(request.environment),
        bootstrap_only=request.bootstrap,
        inherited=inheritance(request.environment).listeners,
    )


def warn_of_open_doors(registration: Registration) -> None:
    """Say once where somebody else can speak as the service, or past its proxy."""
    for upstream in registration.upstreams:
        if not upstream.local_bind_socket_path and not _is_loopback(upstream.bind_host):
            log.warning(
                "upstream %r listens on %s, not on loopback: whoever reaches that port speaks as %r",
                upstream.id,
                _joined(upstream.bind_host, upstream.local_bind_port),
                registration.destination_service_name,
            )
    address = registration.local_service_address
    if not registration.local_service_socket_path and address and not _is_loopback(address):
        log.warning(
            "the local service is at %s, not on loopback: it can be reached past the proxy",
            _joined(address, registration.local_service_port),
        )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
