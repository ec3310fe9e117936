"""``GET /metrics`` and ``GET /status`` on a unix socket (0600) or a loopback port. Off by default.

One request for each connection; nothing is ever changed through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin.binding import listen, share_port
from connect_proxy_builtin.inheritance import STATUS, Inherited
from connect_proxy_builtin.policy import ConnectionLimits, SocketAddress

REQUEST_TIMEOUT_S: Final = 5.0
LONGEST_REQUEST: Final = 8 * 1024
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

Status = Callable[[], Awaitable[Mapping[str, Any]]]


class StatusListener:
    """Where it is served; nowhere, perhaps."""

    def __init__(
        self, sock: socket.socket | None = None, name: str = "", address: SocketAddress | None = None
    ) -> None:
        self._sock, self._name, self._address = sock, name, address
        self._server: asyncio.Server | None = None
        self.is_left = False

    def serve(self, server: asyncio.Server) -> None:
        """It is served by *server*."""
        self._server = server

    def inheritable(self) -> dict[str, int]:
        """The descriptor for a successor."""
        return {self._name: self._sock.fileno()} if self._sock is not None else {}

    @property
    def path(self) -> str:
        """Of its unix socket; empty for none."""
        return self._address.path if self._address is not None else ""

    def share(self, share: bool) -> list[str]:
        """Whether a process beside this one may listen there too; the address, if there is one."""
        if self._sock is None or self._address is None:
            return []
        share_port(self._sock, share=share)
        host, port, *_ = self._sock.getsockname()
        return [str(SocketAddress(host=host, port=port))]

    def leave(self) -> None:
        """A successor serves it from now on."""
        self.is_left = True
        if self._server is not None:
            self._server.close()


@contextlib.asynccontextmanager
async def serving(
    address: SocketAddress | None, status: Status, inherited: Inherited, *, share: bool = False
) -> AsyncIterator[StatusListener]:
    """Serve within the block. Raises PortInUseError, ConfigurationError; None serves nothing."""
    if address is None:
        yield StatusListener()
        return
    if not address.is_loopback:
        message = f"status_address is {str(address)!r}; give a loopback address or a unix socket"
        raise ConfigurationError(message)
    name = f"{STATUS} {address}"
    sock = inherited.take(name) or listen(address, ConnectionLimits(), what="status listener", share=share)
    listener = StatusListener(sock, name, address)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled: the event loop ends, and asyncio fails at a connection whose task was (CPython 3.11).
        ends = (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await _answer(reader, writer, status)
        writer.close()

    if address.path:
        server = await asyncio.start_unix_server(answer, sock=sock, limit=LONGEST_REQUEST)
    else:
        server = await asyncio.start_server(answer, sock=sock, limit=LONGEST_REQUEST)
    listener.serve(server)
    try:
        yield listener
    finally:
        server.close()
        if address.path and not listener.is_left:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(Path(address.path))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: Status) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    method, path, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
    code, kind, body = await _response(method, path.partition("?")[0], status)
    writer.write(
        f"HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    writer.write(b"" if method == "HEAD" else body)
    await writer.drain()


async def _response(method: str, path: str, status: Status) -> tuple[str, str, bytes]:
    if method not in {"GET", "HEAD"}:
        return "405 Method Not Allowed", TEXT, b"only GET\n"
    if path == "/metrics":
        from connect_proxy_builtin import metrics  # only whoever is scraped pays for it

        return "200 OK", metrics.CONTENT_TYPE, metrics.exposition(await status())
    if path == "/status":
        return "200 OK", JSON, json.dumps(await status(), sort_keys=True).encode() + b"\n"
    if path == "/ready":
        if (await status())["ready"]:
            return "200 OK", TEXT, b"ready\n"
        return "503 Service Unavailable", TEXT, b"not ready\n"
    return "404 Not Found", TEXT, b"there are /metrics, /status and /ready\n"
