"""A small HTTP server in the place of a Consul agent, which answers what a test tells it to.

Documents behave like Consul's: they have an index, and blocking queries on them are held until it
moves. Scripted replies go before them and can be anything, also what no agent would send.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from connect_proxy.consul.access import AgentAccess
from connect_proxy.secret import NO_SECRET, Secret
from support.ports import free_port

TLS_HANDSHAKE = b"\x16"


class NotHttpError(Exception):
    """The client speaks TLS to a plain port."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it arrived. Header names in lower case."""

    method: str
    target: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer. ``body``: bytes as they are, None for nothing, anything else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            body = self.body
        else:
            body = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Said", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Raw:
    """Bytes in the place of an answer; then the connection ends."""

    content: bytes = b""


@dataclass(frozen=True)
class Silence:
    """No answer: the request is held until the client or the test gives up."""


def text(status: int, body: str) -> Reply:
    """An error as Consul sends them."""
    return Reply(status=status, body=body.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


Scripted = Reply | Raw | Silence


@dataclass
class _Document:
    value: Any
    index: int
    blocks_by_hash: bool


@dataclass(kw_only=True)
class ScriptedAgent:
    """``async with ScriptedAgent() as agent``: listens on a free port, or on a unix socket."""

    unix_socket: Path | None = None
    tls: ssl.SSLContext | None = None
    valid_tokens: set[str] | None = None
    """None: any; otherwise other tokens get Consul's 403."""
    requests: list[Received] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._documents: dict[str, _Document] = {}
        self._scripts: dict[str, list[Scripted]] = {}
        self._always: dict[str, Scripted] = {}
        self._index = 10
        self._moved = asyncio.Event()
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen: after :meth:`stop`, on the same port again, which nobody takes in between."""
        if self.unix_socket is not None:
            self._server = await asyncio.start_unix_server(self._serve, path=self.unix_socket)
        else:
            self.port = self.port or free_port()
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)

    async def stop(self) -> None:
        """Hang up on everybody and listen no more."""
        self._server.close()
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def access(self, token: str = "") -> AgentAccess:
        """How to reach it."""
        secret = Secret(token) if token else NO_SECRET
        if self.unix_socket is not None:
            return AgentAccess(scheme="unix", host="", socket_path=str(self.unix_socket), token=secret)
        return AgentAccess(scheme="https" if self.tls else "http", port=self.port, token=secret)

    # ------------------------------------------------------------ what it knows

    def put(self, path: str, value: Any, *, index: int | None = None, by_hash: bool = False) -> None:
        """Answer *path* with *value* from now on; blocking queries on it are answered at once."""
        self._index = self._index + 1 if index is None else index
        self._documents[path] = _Document(value, self._index, by_hash)
        self._move()

    def remove(self, path: str) -> None:
        """Answer *path* with 404, as Consul does for a service id."""
        del self._documents[path]
        self._move()

    def script(self, path: str, *replies: Scripted) -> None:
        """Give these replies first, one a request."""
        self._scripts.setdefault(path, []).extend(replies)
        self._move()

    def always(self, path: str, reply: Scripted | None) -> None:
        """Give this reply to every request; None: the document again."""
        if reply is None:
            self._always.pop(path, None)
        else:
            self._always[path] = reply
        self._move()

    def asked(self, path: str) -> list[Received]:
        """The requests for *path* so far."""
        return [request for request in self.requests if request.path == path]

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    # ------------------------------------------------------------ how it answers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            # The cancellation by stop() ends here: asyncio's streams take none from a handler.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (request := await _read(reader)) is not None:
                    self.requests.append(request)
                    reply = await self._answer(request, reader)
                    if not isinstance(reply, Reply):
                        writer.write(reply.content if isinstance(reply, Raw) else b"")
                        await writer.drain()
                        return
                    writer.write(reply.encoded())
                    await writer.drain()
        except NotHttpError:
            # What Go's server, and any other, says to a TLS handshake on a plain port.
            writer.write(Reply(status=400, body=b"Bad Request").encoded())
        finally:
            del self._connections[task]
            writer.close()

    async def _answer(self, request: Received, reader: asyncio.StreamReader) -> Scripted:
        reply = self._scripted(request)
        if isinstance(reply, Silence):
            await reader.read(1)
        if reply is not None:
            return reply
        if (
            self.valid_tokens is not None
            and request.headers.get("x-consul-token", "") not in self.valid_tokens
        ):
            return text(403, "ACL not found")
        if request.path not in self._documents:
            return text(404, f"unknown service ID: {request.path.rpartition('/')[2]}")
        return await self._blocking(request)

    def _scripted(self, request: Received) -> Scripted | None:
        if replies := self._scripts.get(request.path):
            return replies.pop(0)
        return self._always.get(request.path)

    async def _blocking(self, request: Received) -> Scripted:
        wait_s = float(request.params.get("wait", "0ms").removesuffix("ms")) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self._is_current(request):
                    await self._moved.wait()
        if (reply := self._scripted(request)) is not None:
            return reply
        document = self._documents.get(request.path)
        if document is None:
            return text(404, f"unknown service ID: {request.path.rpartition('/')[2]}")
        if document.blocks_by_hash:
            headers = {"X-Consul-ContentHash": f"h{document.index}"}
        else:
            headers = {"X-Consul-Index": str(document.index)}
        return Reply(body=document.value, headers=headers)

    def _is_current(self, request: Received) -> bool:
        """Whether the client already has what there is."""
        document = self._documents.get(request.path)
        if document is None or request.path in self._always or self._scripts.get(request.path):
            return False
        if document.blocks_by_hash:
            return request.params.get("hash") == f"h{document.index}"
        return int(request.params.get("index", "0")) >= document.index


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readexactly(1)
        if head == TLS_HANDSHAKE:
            raise NotHttpError
        head += await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Received(
        method=method,
        target=target,
        path=unquote(parts.path),
        params=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body,
    )
