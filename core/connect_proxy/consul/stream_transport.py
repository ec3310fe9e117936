"""HTTP to an agent that is reached in the clear: asyncio's streams, and h11 for what they carry.

One connection for each request: one that rests may be closed by the agent in the very moment in
which it is used again. The HTTP library would cost every sidecar 10 MiB of memory, with its TLS;
:mod:`connect_proxy.consul.transport` uses it for agents that are reached by TLS.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode

import h11

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.blocking_query import client_timeout_s
from connect_proxy.consul.exchange import (
    CONNECT_TIMEOUT_S,
    broken_off,
    check_length,
    check_port,
    no_answer,
    no_connection,
    was_closed,
)
from connect_proxy.consul.failures import unreachable
from connect_proxy.consul.headers import request_headers
from connect_proxy.consul.request import AgentRequest, HttpAnswer
from connect_proxy.errors import AgentAnswerError, AgentUnreachableError
from connect_proxy.secret import Secret

MAX_HEAD_BYTES: Final = 100 * 1024
_PIECE: Final = 65536


Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class StreamTransport:
    """Connections to one agent over TCP or a unix socket, without TLS."""

    def __init__(self, access: AgentAccess) -> None:
        """Opens no connection. Raises ConfigurationError for a port that cannot be."""
        check_port(access)
        self._access = access
        self._closed = False
        self._open: set[asyncio.StreamWriter] = set()

    async def exchange(self, request: AgentRequest, *, token: Secret) -> HttpAnswer:
        """Send *request*, read its whole answer.

        Raises AgentUnreachableError and, where the answer is not HTTP or is too long,
        AgentAnswerError.
        """
        if self._closed:
            raise was_closed(self._access)
        timeout_s = client_timeout_s(request.wait)
        state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        try:
            sent = self._written(state, request, token)
            async with asyncio.timeout(timeout_s):
                return await self._exchange(state, sent, request)
        except TimeoutError:
            raise no_answer(request, self._access, timeout_s=timeout_s) from None
        except (OSError, UnicodeError, h11.ProtocolError) as exc:
            raise self._failure(exc, state, request) from exc

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        for writer in self._open:
            writer.transport.abort()

    def _written(self, state: h11.Connection, request: AgentRequest, token: Secret) -> bytes:
        """The bytes of *request*. Raises UnknownTokenError."""
        access = self._access
        # Over a unix socket too the header has to be some valid name: see ``transport.base_url``.
        host = "localhost" if access.scheme == "unix" else access.url.split("://", 1)[1]
        body = b"" if request.body is None else json.dumps(request.body).encode()
        headers = {"Host": host, "Connection": "close"} | request_headers(request, access, token)
        if body:
            headers["Content-Length"] = str(len(body))
        target = request.path + ("?" + urlencode(request.params) if request.params else "")
        head = h11.Request(method=request.method, target=target, headers=list(headers.items()))
        events = (head, *([h11.Data(data=body)] if body else []), h11.EndOfMessage())
        return b"".join(state.send(event) or b"" for event in events)

    async def _exchange(self, state: h11.Connection, sent: bytes, request: AgentRequest) -> HttpAnswer:
        reader, writer = await self._connected()
        self._open.add(writer)
        try:
            if self._closed:  # in the meantime
                raise was_closed(self._access)
            writer.write(sent)
            return await self._answer(state, reader, request)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _connected(self) -> Connected:
        access = self._access
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S) as limit:
                if access.scheme == "unix":
                    return await asyncio.open_unix_connection(access.socket_path)
                return await self._first(await self._addresses(), deadline=limit.when() or 0.0)
        except TimeoutError:
            raise no_connection(access) from None

    async def _addresses(self) -> Sequence[str]:
        host, port = self._access.host, self._access.port
        try:
            return (str(ip_address(host)),)
        except ValueError:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _first(self, addresses: Sequence[str], *, deadline: float) -> Connected:
        """The first that takes the connection, each with its share of the time.

        Not by asyncio's own ``happy_eyeballs_delay``: cancelled, it leaves sockets open.
        """
        failures: list[OSError] = []
        for number, address in enumerate(addresses):
            share = (deadline - asyncio.get_running_loop().time()) / (len(addresses) - number)
            try:
                async with asyncio.timeout(share):
                    return await asyncio.open_connection(address, self._access.port)
            except OSError as exc:
                failures.append(exc)
        raise failures[0]

    async def _answer(
        self, state: h11.Connection, reader: asyncio.StreamReader, request: AgentRequest
    ) -> HttpAnswer:
        status, headers, body = 0, dict[str, str](), bytearray()
        while True:
            event = state.next_event()
            if event is h11.NEED_DATA:
                state.receive_data(await reader.read(_PIECE))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
                check_length(len(body), request, self._access, status=status)
            elif isinstance(event, h11.EndOfMessage):
                return HttpAnswer(status=status, headers=headers, body=bytes(body))

    def _failure(
        self, exc: Exception, state: h11.Connection, request: AgentRequest
    ) -> AgentUnreachableError | AgentAnswerError:
        if self._closed:
            return was_closed(self._access)
        if isinstance(exc, h11.RemoteProtocolError):
            _, ended = state.trailing_data
            return broken_off(request, self._access, ended=ended)
        return unreachable(exc, self._access)
