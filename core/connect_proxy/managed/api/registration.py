"""``PUT /v1/agent/service/register`` with ``Connect.Proxy``, as Consul 1.2 to 1.5 took it.

Who may register the service is decided by the Consul behind, which gets the registration first, with
the token that came with it. Only what it took is kept here, with its proxy.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connect_proxy.backends import installed_backends
from connect_proxy.errors import AgentConfigurationError, ApiError, ConnectProxyError
from connect_proxy.managed.api.request import token_of
from connect_proxy.managed.api.rules import has_managed_proxy, key_of, service_id
from connect_proxy.managed.api.services import ApiService, ApiServices, decoded, with_services
from connect_proxy.managed.definitions.clashes import clashes
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.mesh.immutable import thawed

log = logging.getLogger("connect_proxy.managed.api")

SETTING: Final = "connect.proxy.allow_managed_api_registration"
DISALLOWED: Final = (
    "Managed proxies may not be registered by the API: define the service in a file, or set"
    f" {SETTING} = true in the agent's files"
)
OK: Final = 200


class ApiRegistration:
    """Decides about one agent's registrations by API and carries them out."""

    def __init__(
        self,
        services: ApiServices,
        *,
        configuration: Callable[[], AgentConfiguration],
        rehearse: Callable[[AgentConfiguration], Awaitable[object]],
        apply: Callable[[], Awaitable[object]],
    ) -> None:
        """*configuration*: what the files say now. *rehearse* raises what keeps a configuration from
        being applied, and does nothing; *apply* applies files and *services* together."""
        self._services = services
        self._configuration = configuration
        self._rehearse = rehearse
        self._apply = apply

    def concerns(self, body: bytes) -> bool:
        """Whether it asks for a managed proxy, or is of a service that has one by this API: that keeps its
        proxy, as in Consul 1.2, where a new registration says nothing of it."""
        return has_managed_proxy(body) or self._services.find(service_id(body)) is not None

    def withdraw(self, withdrawn: str) -> bool:
        """Forget that service; whether it was registered here."""
        return self._services.discard(withdrawn)

    async def handle(self, body: bytes, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. *app*: the Consul behind. Raises ApiError."""
        if not self._configuration().allow_managed_api_registration:
            raise ApiError(400, DISALLOWED)
        one = self._decoded(body, scope)
        await self._check(one)
        answer: list[Message] = []

        async def hold(message: Message) -> None:
            answer.append(message)

        sent = _body_for_consul(one)
        await app(_with_length(scope, len(sent)), _giving(sent, receive), hold)
        if answer and answer[0]["status"] == OK:
            await self._take(one)
        for message in answer:
            await send(message)

    async def _take(self, one: ApiService) -> None:
        name = one.definition.id
        self._services.put(one)
        try:
            await self._apply()
        except ConnectProxyError as exc:
            self._services.discard(name)
            message = f"The service is registered, but without its managed proxy: {exc}"
            raise ApiError(500, message) from exc
        log.info("service '%s' and its managed proxy were registered by the API", name)

    def _decoded(self, body: bytes, scope: Scope) -> ApiService:
        try:
            one = decoded(body.decode(), token=token_of(scope))
        except (AgentConfigurationError, UnicodeDecodeError) as exc:
            raise ApiError(400, f"Bad request: {exc}") from exc
        before = self._services.find(one.definition.id)
        if before is None or one.definition.proxy is not None:
            return one
        stanza = key_of(key_of(before.document, "connect"), "proxy")
        connect = {**(key_of(one.document, "connect") or {}), "Proxy": stanza}
        document = {key: value for key, value in one.document.items() if key.lower() != "connect"}
        return ApiService(
            definition=dataclasses.replace(one.definition, proxy=before.definition.proxy),
            document={**document, "Connect": connect},
        )

    async def _check(self, one: ApiService) -> None:
        """Raises ApiError for what could not be run beside everything else."""
        files = self._configuration()
        name = one.definition.id
        if found := [service.origin for service in files.services if service.id == name]:
            raise ApiError(
                400, f"Bad request: the service '{name}' is defined in {found[0]}: change it there"
            )
        others = self._services.over(files, but=name)
        whole = with_services(others, (one.definition,))
        if problems := clashes(whole, backends={backend.name for backend in installed_backends()}):
            raise ApiError(400, "Bad request: " + "; ".join(problems))
        try:
            await self._rehearse(whole)
        except ConnectProxyError as exc:
            raise ApiError(500, str(exc)) from exc


def _body_for_consul(one: ApiService) -> bytes:
    """What is kept here is what Consul is asked to allow: the same body, without the managed proxy."""
    body: dict[str, Any] = thawed(one.definition.body)
    if one.definition.sidecar_token:
        body["Connect"]["SidecarService"]["Token"] = one.definition.sidecar_token.reveal()
    return json.dumps(body).encode()


def _with_length(scope: Scope, length: int) -> Scope:
    unfit = {b"content-length", b"transfer-encoding"}
    headers = [pair for pair in scope["headers"] if pair[0] not in unfit]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _giving(body: bytes, receive: Receive) -> Receive:
    """A *receive* that gives *body*, then what the first one gives."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give
