"""The agent's own HTTP API: the managed proxies' view of themselves, a guard before everything else."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
from collections.abc import Iterable
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ApiError
from connect_proxy.managed.api.forwarding import ConsulBehind
from connect_proxy.managed.api.proxy_view import PublishedProxy
from connect_proxy.managed.api.published import NO_FILES, PublishedProxies, shows
from connect_proxy.managed.api.registration import ApiRegistration
from connect_proxy.managed.api.request import (
    as_agent,
    client_gone,
    first_param,
    params_of,
    token_of,
    wait_s,
)
from connect_proxy.managed.api.rules import (
    AUTHORIZE,
    DEREGISTER,
    PROXY,
    REGISTER,
    ApiRequest,
    is_clean,
    parsed,
    proxy_may,
    service_id,
)
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.registrar import Registrar
from connect_proxy.managed.wanted import SIDECAR_SUFFIX
from connect_proxy.serving.asgi_server import AsgiServer

__all__ = ["AgentApi", "PublishedProxy"]

log = logging.getLogger("connect_proxy.managed.api")

BODY_LIMIT: Final = 8 * 1024 * 1024
JITTER_FRACTION: Final = 16
"""As Consul: up to a sixteenth of the wait is added, so that not all clients come back at once."""


class AgentApi:
    """Started, published to and stopped by the agent. Deregistrations reach the registrar."""

    def __init__(self, *, access: AgentAccess, registrar: Registrar, registration: ApiRegistration) -> None:
        """*access*: the Consul behind, with the agent's own token in it. *registration*: what becomes of
        managed proxies that are registered here."""
        self._access = access
        self._registrar = registrar
        self._registration = registration
        self._proxies = PublishedProxies()
        self._behind: ConsulBehind | None = None
        self._server: AsgiServer | None = None

    def publish(self, proxies: Iterable[PublishedProxy], *, files: AgentConfiguration = NO_FILES) -> None:
        """Show exactly these from now on; blocked queries look again. *files*: what they say for proxies
        that leave it out."""
        self._proxies.publish(proxies, files=files)

    def over(self, app: ASGIApp) -> ASGIApp:
        """This API in front of *app*, which answers what is not answered here: the embedded agent's
        (``DevAgent(options, front=api.over)``), or the Consul behind."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self._handle(app, scope, receive, send)
            except ApiError as exc:
                await PlainTextResponse(str(exc), exc.status)(scope, receive, send)
            except ClientDisconnect:
                log.debug("the client of %s %s hung up", scope["method"], scope["path"])

        return serve

    async def start(self, listener: socket.socket) -> None:
        """Answer on *listener*, everything else forwarded to the Consul behind. Returns when requests
        are answered. Raises ConfigurationError for unusable certificate files."""
        self._behind = ConsulBehind(self._access)
        self._server = AsgiServer(self.over(self._behind), [listener])
        await self._server.start()

    async def stop(self) -> None:
        """End blocked queries and connections."""
        self._proxies.close()
        if self._behind is not None:
            await self._behind.aclose()
        if self._server is not None:
            await self._server.stop()

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if not is_clean(path):
            raise ApiError(400, "Bad request: the path has a segment '.' or '..'")
        if path.startswith(PROXY):
            await self._show(path.removeprefix(PROXY), scope, receive, send)
            return
        receive, body = await _deciding_body(scope, receive)
        owner = self._proxies.owner(token_of(scope))
        if owner is not None and owner.token_is_local:
            request = ApiRequest(method=method, path=path, params=params_of(scope), body=body)
            if not proxy_may(owner.proxy, request):
                raise ApiError(403, "Permission denied")
            scope = as_agent(scope, self._access)
        elif method == "PUT" and path == REGISTER and self._registers_managed(body):
            if owner is not None:
                raise ApiError(403, "Permission denied: a managed proxy may not register managed proxies")
            await self._registration.handle(body, app, scope, receive, send)
            return
        elif method == "PUT" and path.startswith(DEREGISTER):
            await self._deregister(path.removeprefix(DEREGISTER), app, scope, receive, send)
            return
        await app(scope, receive, send)

    # ------------------------------------------------------------ services

    def _registers_managed(self, body: bytes) -> bool:
        return self._registration.concerns(body) and not self._registrar.is_sending(
            service_id(body), parsed(body)
        )

    async def _deregister(
        self, leaving: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """As Consul does it; then the service's proxy goes too."""
        owner = self._registrar.owner_of(leaving)
        if owner and not leaving.endswith(SIDECAR_SUFFIX):
            message = f"The managed proxy {leaving!r} goes with its service: deregister {owner!r}"
            raise ApiError(400, message)
        if not self._registrar.has(leaving):
            await app(scope, receive, send)
            return

        async def noticing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._registration.withdraw(leaving)
                await self._registrar.withdraw(leaving)
            await send(message)

        await app(scope, receive, noticing)

    # ------------------------------------------------------------ a proxy's view of itself

    async def _show(self, proxy_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            text = f"method {scope['method']} not allowed"
            await PlainTextResponse(text, 405, {"Allow": "OPTIONS,GET"})(scope, receive, send)
            return
        known, patience_s = first_param(scope, "hash"), wait_s(scope)
        published = self._authorized(proxy_id, scope)
        if known:
            await self._blocked(proxy_id, known, patience_s, receive)
            published = self._authorized(proxy_id, scope)
        view = self._proxies.view(published)
        response = Response(
            json.dumps(view, indent=4 if "pretty" in params_of(scope) else None),
            media_type="application/json",
            headers={"X-Consul-ContentHash": view["ContentHash"]},
        )
        await response(scope, receive, send)

    def _authorized(self, proxy_id: str, scope: Scope) -> PublishedProxy:
        """Raises ApiError: 404 for an unknown proxy, 403 without its token."""
        published = self._proxies.find(proxy_id)
        if published is None:
            raise ApiError(404, "unknown proxy service ID")
        if not shows(token_of(scope), published):
            raise ApiError(403, "Permission denied")
        return published

    async def _blocked(self, proxy_id: str, known: str, wait: float, receive: Receive) -> None:
        """Returns when the hash is another one, after *wait* and its jitter, or at our end.

        Raises ClientDisconnect when nobody waits for the answer any more.
        """
        changed = asyncio.ensure_future(self._proxies.changed(proxy_id, known))
        gone = asyncio.ensure_future(client_gone(receive))
        patience = wait + random.uniform(0, wait / JITTER_FRACTION)  # noqa: S311 - spreads load only
        try:
            await asyncio.wait({changed, gone}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientDisconnect
        finally:
            changed.cancel()
            gone.cancel()


async def _deciding_body(scope: Scope, receive: Receive) -> tuple[Receive, bytes]:
    """The body of the requests where it decides, and a *receive* that gives it once more."""
    if scope["path"] not in {REGISTER, AUTHORIZE} or scope["method"] not in {"PUT", "POST"}:
        return receive, b""
    pieces = bytearray()
    async for piece in Request(scope, receive).stream():
        pieces += piece
        if len(pieces) > BODY_LIMIT:
            raise ApiError(413, "Request body too large")
    whole = bytes(pieces)
    left: list[Message] = [{"type": "http.request", "body": whole, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again, whole
