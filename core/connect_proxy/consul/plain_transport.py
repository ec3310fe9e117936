"""Plain HTTP to the agent over a blocking socket: a connection for each request, nothing imported.

For a command that asks a few questions and ends: importing the HTTP library would take longer than
all that it does. It knows the one case only; whoever gets :class:`AgentUnreachableError` asks again
through :mod:`connect_proxy.consul.transport`, which knows what is wrong and says it.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.headers import request_headers
from connect_proxy.consul.request import AgentRequest, HttpAnswer
from connect_proxy.errors import AgentUnreachableError
from connect_proxy.secret import Secret

T = TypeVar("T")

TIMEOUT_S: Final = 3.0
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_PIECE: Final = 65536


def is_plain(access: AgentAccess) -> bool:
    """Whether nothing but plain HTTP is asked for: no TLS, no certificate files, no name to check."""
    tls = (access.ca_file, access.ca_path, access.client_cert, access.client_key, access.tls_server_name)
    return access.scheme in {"http", "unix"} and not any(tls)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What *work* returns: it asks by this transport alone, so nothing in it waits for an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    message = "a plain look-up waited for an event loop"
    raise AssertionError(message)


class PlainTransport:
    """Reads only. Its coroutines never wait for an event loop: they need none."""

    def __init__(self, access: AgentAccess) -> None:
        self._access = access

    async def exchange(self, request: AgentRequest, *, token: Secret) -> HttpAnswer:
        """Send *request*, read its whole answer. Raises AgentUnreachableError for whatever goes wrong."""
        try:
            with self._connection() as connection:
                connection.settimeout(TIMEOUT_S)
                connection.sendall(self._written(request, token))
                return read_answer(_received(connection))
        except (OSError, ValueError) as exc:
            message = f"a first try at {request.endpoint} failed: {type(exc).__name__}"
            raise AgentUnreachableError(message) from exc

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _connection(self) -> socket.socket:
        if self._access.scheme != "unix":
            return socket.create_connection((self._access.host, self._access.port), timeout=TIMEOUT_S)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(TIMEOUT_S)
            connection.connect(self._access.socket_path)
        except OSError:
            connection.close()
            raise
        return connection

    def _written(self, request: AgentRequest, token: Secret) -> bytes:
        """HTTP/1.0: the answer is not chunked, and ends with the connection."""
        if request.method != "GET" or request.body is not None:
            message = "reads only"
            raise ValueError(message)
        target = request.path + ("?" + urlencode(request.params) if request.params else "")
        host = "localhost" if self._access.scheme == "unix" else self._access.url.split("://", 1)[1]
        headers = {"Host": host} | request_headers(request, self._access, token)
        lines = [f"GET {target} HTTP/1.0", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _received(connection: socket.socket) -> bytes:
    """Everything up to the end. Raises ValueError for too much of it."""
    answer = bytearray()
    while piece := connection.recv(_PIECE):
        answer += piece
        if len(answer) > MAX_ANSWER_BYTES:
            message = "the answer is too long"
            raise ValueError(message)
    return bytes(answer)


def read_answer(answer: bytes) -> HttpAnswer:
    """RFC 1945. Raises ValueError for anything but a whole, unencoded answer."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("ascii").split("\r\n")
    version, status, *_ = status_line.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = headers.get("content-length")
    whole = length is None or int(length) == len(body)
    if not (separator and version.startswith("HTTP/1.") and whole) or "transfer-encoding" in headers:
        message = "the answer is not a whole one of HTTP/1"
        raise ValueError(message)
    return HttpAnswer(status=int(status), headers=headers, body=body)
