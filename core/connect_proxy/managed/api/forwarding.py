"""Everything that the agent's API does not answer itself, forwarded to the Consul behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.pass_through import PassThrough
from connect_proxy.errors import AgentUnreachableError

log = logging.getLogger("connect_proxy.managed.api")

BAD_GATEWAY: Final = 502


class ConsulBehind:
    """An ASGI application: the Consul at *access*. What a request carries goes on as it is."""

    def __init__(self, access: AgentAccess) -> None:
        """Opens no connection. Raises ConfigurationError for unusable certificate files."""
        self._consul = PassThrough(access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        exchange = asyncio.ensure_future(self._exchange(scope, receive, send, body))
        gone = asyncio.ensure_future(body.client_gone())
        try:
            await asyncio.wait({exchange, gone}, return_when=asyncio.FIRST_COMPLETED)
            if exchange.done():
                exchange.result()
        finally:
            for task in (exchange, gone):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        await self._consul.aclose()

    async def _exchange(self, scope: Scope, receive: Receive, send: Send, body: _Body) -> None:
        headers = scope["headers"]
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        has_body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)
        if not has_body:
            body.read.set()
        started = False
        try:
            async with self._consul.exchange(
                method=scope["method"],
                target=scope["raw_path"] + query,
                headers=headers,
                body=body.pieces() if has_body else None,
            ) as answer:
                # Ours is written by the server around.
                kept = [pair for pair in answer.headers if pair[0] != b"date"]
                await send({"type": "http.response.start", "status": answer.status, "headers": kept})
                started = True
                async for piece in answer.body:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientDisconnect:
            log.debug("the client of %s %s hung up", scope["method"], scope["path"])
        except AgentUnreachableError as exc:
            if started:
                # Half an answer cannot be taken back: without its end the client sees that it is none.
                log.warning("the answer to %s %s broke off: %s", scope["method"], scope["path"], exc)
                return
            await PlainTextResponse(str(exc), BAD_GATEWAY)(scope, receive, send)


class _Body:
    """A request's body on its way, and whether who sent it is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.read = asyncio.Event()
        """Set once nothing of it is left: only then may somebody else listen for the hang-up."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises ClientDisconnect."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            yield message.get("body", b"")
            if not message.get("more_body", False):
                break
        self.read.set()

    async def client_gone(self) -> None:
        """Returns when the client hung up after its whole request."""
        await self.read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
