"""The HTTP API as an ASGI application: requests to handlers, answers to bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connect_proxy.dev_agent.http.blocking import is_blocking
from connect_proxy.dev_agent.http.call import NOTHING, Call, Handler, Reply
from connect_proxy.dev_agent.http.routes import ENDPOINTS
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.errors import ApiError

_BODY_LIMIT = 8 * 1024 * 1024


def build_app(state: AgentState) -> Starlette:
    """The ASGI application for :data:`ENDPOINTS`."""
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in ENDPOINTS:
        handler = _kept(endpoint.handler) if endpoint.writes else endpoint.handler
        by_path.setdefault(endpoint.path, {})[endpoint.method] = handler
    routes = [
        Route(_starlette_path(path), _dispatcher(state, handlers), methods=_ALL_METHODS)
        for path, handlers in by_path.items()
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found})
    # Consul answers "/v1/query/" itself and never redirects between the two spellings.
    app.router.redirect_slashes = False
    return app


_ALL_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"]


def _dispatcher(state: AgentState, handlers: dict[str, Handler]) -> Any:
    allowed = ",".join(["OPTIONS", *sorted(handlers)])

    async def dispatch(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(headers={"Allow": allowed})
        handler = handlers.get(request.method)
        if handler is None:
            text = f"method {request.method} not allowed"
            return _text(text, 405, {"Allow": allowed})
        try:
            body = await _body(request)
            call = Call(
                state=state,
                method=request.method,
                path=request.path_params,
                query=request.query_params,
                headers=request.headers,
                body=body,
            )
            reply = await _answer(request, handler, call)
        except ApiError as exc:
            return _text(str(exc), exc.status)
        except RecursionError:
            return _text("Request decode failed: exceeded max depth", 400)
        except ClientDisconnect:
            return Response(status_code=499)
        return _response(reply, pretty="pretty" in request.query_params)

    return dispatch


def _kept(handler: Handler) -> Handler:
    """*handler* of a write: it begins only if it can be kept, and is answered once it is."""

    async def write(call: Call) -> Reply:
        durability = call.state.durability
        await durability.admit(len(call.body))
        try:
            return await handler(call)
        finally:
            # Also of what was refused: its room is given back.
            await durability.settle()

    return write


async def _answer(request: Request, handler: Handler, call: Call) -> Reply:
    """The handler's reply; a blocked handler ends when its client has gone."""
    if not is_blocking(call.query):
        return await handler(call)
    work = asyncio.ensure_future(handler(call))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        for task in (work, gone):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _BODY_LIMIT:
            raise ApiError(413, "Request body too large")
        chunks.append(chunk)
    return b"".join(chunks)


def _response(reply: Reply, *, pretty: bool) -> Response:
    # Names of services go into some headers; what ASCII lacks would make the answer unsendable.
    headers = {name: text.encode("ascii", "replace").decode() for name, text in reply.headers.items()}
    if reply.text is not None:
        return Response(reply.text, status_code=reply.status, headers=headers, media_type=reply.text_type)
    if reply.body is NOTHING:
        return Response(status_code=reply.status, headers=headers)
    content = (
        json.dumps(reply.body, indent=4) + "\n" if pretty else json.dumps(reply.body, separators=(",", ":"))
    )
    return Response(
        content, status_code=reply.status, headers={**headers, "Content-Type": "application/json"}
    )


def _text(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    content = text.encode("utf-8", "replace")
    return Response(content, status_code=status, headers=headers, media_type="text/plain")


async def _not_found(request: Request, exc: Exception) -> Response:
    text = f"the embedded agent has no {request.url.path!r}: it serves a mesh; for all the rest run Consul"
    return _text(text, 404)


def _starlette_path(path: str) -> str:
    """``{id}`` at the end takes slashes and may be empty, as Consul's prefixes do."""
    return re.sub(r"\{(\w+)\}$", r"{\1:path}", path)
