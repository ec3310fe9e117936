"""The typed calls of :class:`~connect_proxy.consul.client.ConsulClient` over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from connect_proxy.consul import wire
from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.answers import error_of
from connect_proxy.consul.replies import AclToken, Answer, Authorization
from connect_proxy.consul.request import AgentRequest, HttpAnswer, blocking_params, hash_params, path_of
from connect_proxy.errors import NotFoundError
from connect_proxy.mesh.certificates import Leaf, Roots
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.immutable import thawed
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration
from connect_proxy.secret import NO_SECRET, Secret


class Transport(Protocol):
    """What carries requests to one agent."""

    async def exchange(self, request: AgentRequest, *, token: Secret) -> HttpAnswer:
        """Send *request*, read its whole answer. Raises AgentUnreachableError, AgentAnswerError."""

    async def aclose(self) -> None:
        """Close every connection."""


class HttpConsulClient:
    """One agent's API. What the calls mean stands in the Protocol; here is how they are spelt."""

    def __init__(self, access: AgentAccess, transport: Transport) -> None:
        self._access = access
        self._transport = transport
        self._everywhere = {
            name: value
            for name, value in (
                ("dc", access.datacenter),
                ("ns", access.namespace),
                ("partition", access.partition),
            )
            if value
        }

    def __repr__(self) -> str:
        return f"<HttpConsulClient {self._access.url!r}>"

    @property
    def access(self) -> AgentAccess:
        return self._access

    def set_token(self, token: Secret) -> None:
        self._access = replace(self._access, token=token)

    async def agent_self(self) -> Mapping[str, Any]:
        request = AgentRequest(
            path=path_of("agent", "self"), needs='agent:read on the agent\'s node ("agent_prefix")'
        )
        return wire.json_object(await self._value(request), endpoint=request.endpoint)

    async def leader(self) -> str:
        request = AgentRequest(path=path_of("status", "leader"))
        return wire.text(await self._value(request), endpoint=request.endpoint)

    async def services(self) -> Mapping[str, Registration]:
        request = AgentRequest(
            path=path_of("agent", "services"), needs="service:read on the services to list"
        )
        return wire.registrations(await self._value(request), endpoint=request.endpoint)

    async def service(
        self, service_id: str, *, content_hash: str = "", wait: float = 0
    ) -> Answer[Registration]:
        request = AgentRequest(
            path=path_of("agent", "service", service_id),
            params=hash_params(content_hash=content_hash, wait=wait),
            wait=wait,
            needs=f'service:read on the name of the service with id "{service_id}"',
        )
        answer = await self._ask(request)
        found = wire.registration(self._decode(answer, request), endpoint=request.endpoint)
        stated = answer.headers.get("x-consul-contenthash", "") or found.content_hash
        return Answer(value=replace(found, content_hash=stated), content_hash=stated)

    async def node_services(self, node: str, *, service_id: str = "") -> tuple[Registration, ...]:
        chosen = {"filter": f"ID == {_filter_text(service_id)}"} if service_id else {}
        request = AgentRequest(
            path=path_of("catalog", "node-services", node),
            params={**chosen, "merge-central-config": ""},
            needs=f'node:read on "{node}" and service:read on its services',
        )
        found = wire.node_services(await self._value(request), endpoint=request.endpoint)
        if found is None:
            message = f"the answer to {request.endpoint} names no node: '{node}' is not in the catalog"
            raise NotFoundError(message)
        # Chosen here too: what cannot be said in the filter, and agents that know none.
        return tuple(one for one in found if service_id in {"", one.id})

    async def roots(self, *, index: int = 0, wait: float = 0) -> Answer[Roots]:
        request = AgentRequest(
            path=path_of("agent", "connect", "ca", "roots"),
            params=blocking_params(index=index, wait=wait),
            wait=wait,
        )
        answer = await self._ask(request)
        value = wire.roots(self._decode(answer, request), endpoint=request.endpoint)
        return Answer(value=value, index=_index(answer))

    async def leaf(self, service: str, *, index: int = 0, wait: float = 0) -> Answer[Leaf]:
        request = AgentRequest(
            path=path_of("agent", "connect", "ca", "leaf", service),
            params=blocking_params(index=index, wait=wait),
            wait=wait,
            needs=f'service:write on "{service}"',
        )
        answer = await self._ask(request)
        value = wire.leaf(self._decode(answer, request), endpoint=request.endpoint)
        return Answer(value=value, index=_index(answer))

    async def authorize(self, *, target: str, client_uri: str, serial: str) -> Authorization:
        request = AgentRequest(
            method="POST",
            path=path_of("agent", "connect", "authorize"),
            body={"Target": target, "ClientCertURI": client_uri, "ClientCertSerial": serial},
            needs=f'service:write on "{target}"',
        )
        return wire.authorization(await self._value(request), endpoint=request.endpoint)

    async def intentions(self, *, index: int = 0, wait: float = 0) -> Answer[tuple[Intention, ...]]:
        request = AgentRequest(
            path=path_of("connect", "intentions"),
            params=blocking_params(index=index, wait=wait),
            wait=wait,
            needs="intentions:read",
        )
        answer = await self._ask(request)
        value = wire.intentions(self._decode(answer, request), endpoint=request.endpoint)
        return Answer(value=value, index=_index(answer))

    async def intentions_for(self, destination: str) -> tuple[Intention, ...]:
        request = AgentRequest(
            path=path_of("connect", "intentions", "match"),
            params={"by": "destination", "name": destination},
            needs=f'intentions:read (in service:read) on "{destination}"',
        )
        value = await self._value(request)
        return wire.matched_intentions(value, destination, endpoint=request.endpoint)

    async def instances(
        self, service: str, *, datacenter: str = "", index: int = 0, wait: float = 0
    ) -> Answer[tuple[Endpoint, ...]]:
        request = AgentRequest(
            path=path_of("health", "connect", service),
            params=blocking_params(index=index, wait=wait) | _datacenter(datacenter),
            wait=wait,
            needs=f'service:read on "{service}" and its sidecars, and node:read',
        )
        answer = await self._ask(request)
        value = wire.instances(self._decode(answer, request), service, endpoint=request.endpoint)
        return Answer(value=value, index=_index(answer))

    async def execute_query(self, name: str, *, datacenter: str = "") -> tuple[Endpoint, ...]:
        request = AgentRequest(
            path=path_of("query", name, "execute"),
            params={"connect": "true"} | _datacenter(datacenter),
            needs=f'query:read on "{name}", and service:read and node:read on what it finds',
        )
        return wire.query_result(await self._value(request), endpoint=request.endpoint)

    async def config_entry(self, kind: str, name: str) -> Mapping[str, Any]:
        request = AgentRequest(path=path_of("config", kind, name), needs="service:read")
        return wire.json_object(await self._value(request), endpoint=request.endpoint)

    async def register_service(self, definition: Mapping[str, Any], *, token: Secret = NO_SECRET) -> None:
        await self._ask(
            AgentRequest(
                method="PUT",
                path=path_of("agent", "service", "register"),
                body=thawed(definition),
                needs=f'service:write on "{_name_in(definition)}" and on the services of its proxies',
            ),
            token=token,
        )

    async def deregister_service(self, service_id: str) -> None:
        await self._ask(
            AgentRequest(
                method="PUT",
                path=path_of("agent", "service", "deregister", service_id),
                needs=f'service:write on the name of the service with id "{service_id}"',
            )
        )

    async def register_check(self, definition: Mapping[str, Any], *, token: Secret = NO_SECRET) -> None:
        request = AgentRequest(
            method="PUT",
            path=path_of("agent", "check", "register"),
            body=thawed(definition),
            needs="node:write on the agent's node, or service:write on the check's service",
        )
        await self._ask(request, token=token)

    async def deregister_check(self, check_id: str) -> None:
        request = AgentRequest(
            method="PUT",
            path=path_of("agent", "check", "deregister", check_id),
            needs=f'node:write on the agent\'s node, or service:write on the service of check "{check_id}"',
        )
        await self._ask(request)

    async def check_ids(self) -> frozenset[str]:
        request = AgentRequest(path=path_of("agent", "checks"), needs="node:read and service:read")
        return frozenset(wire.json_object(await self._value(request), endpoint=request.endpoint))

    async def update_check(self, check_id: str, *, status: str, output: str = "") -> None:
        await self._ask(
            AgentRequest(
                method="PUT",
                path=path_of("agent", "check", "update", check_id),
                body={"Status": status, "Output": output},
                needs=f'service:write on the service of check "{check_id}"',
            )
        )

    async def create_token(self, *, service: str, description: str) -> AclToken:
        identities = [{"ServiceName": service}]
        request = AgentRequest(
            method="PUT",
            path=path_of("acl", "token"),
            body={"Description": description, "ServiceIdentities": identities, "Local": True},
            needs="acl:write",
        )
        return wire.acl_token(await self._value(request), endpoint=request.endpoint)

    async def read_token(self, accessor: str) -> AclToken:
        request = AgentRequest(path=path_of("acl", "token", accessor), needs="acl:write")
        return wire.acl_token(await self._value(request), endpoint=request.endpoint)

    async def delete_token(self, accessor: str) -> None:
        await self._ask(
            AgentRequest(method="DELETE", path=path_of("acl", "token", accessor), needs="acl:write")
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _ask(self, request: AgentRequest, *, token: Secret = NO_SECRET) -> HttpAnswer:
        """The answer with status 200; every other one is raised as what it means."""
        access = replace(self._access, token=token, token_file="") if token else self._access
        request = replace(request, params=self._everywhere | dict(request.params))
        answer = await self._transport.exchange(request, token=access.token)
        if answer.status != 200:
            raise error_of(answer.status, answer.body, request=request, access=access)
        return answer

    async def _value(self, request: AgentRequest) -> Any:
        return self._decode(await self._ask(request), request)

    @staticmethod
    def _decode(answer: HttpAnswer, request: AgentRequest) -> Any:
        return wire.decode(answer.body, endpoint=request.endpoint)


def _index(answer: HttpAnswer) -> int:
    """``X-Consul-Index``; 0 where it is missing or no number, which means: do not block on it."""
    text = answer.headers.get("x-consul-index", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0


def _datacenter(name: str) -> dict[str, str]:
    return {"dc": name} if name else {}


def _filter_text(value: str) -> str:
    """*value* as a literal of Consul's filter language, which knows no escapes."""
    return f"`{value}`" if '"' in value or "\\" in value else f'"{value}"'


def _name_in(definition: Mapping[str, Any]) -> str:
    return str(definition.get("Name") or definition.get("name") or "")
