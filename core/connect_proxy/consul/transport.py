"""HTTP to the agent by TLS. Only this and ``pass_through`` know the HTTP library and its exceptions."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

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
from connect_proxy.consul.http_library import httpx
from connect_proxy.consul.request import AgentRequest, HttpAnswer
from connect_proxy.consul.tls import agent_tls_context
from connect_proxy.errors import ConfigurationError
from connect_proxy.secret import Secret

IDLE_CONNECTION_S: Final = 4.0
"""Below the 5 s after which common servers close idle connections: else a request could meet the
close under way and fail for nothing."""


def open_connections(access: AgentAccess) -> httpx.AsyncClient:
    """A pool to the agent at *access*; opens no connection yet. Raises ConfigurationError."""
    check_port(access)
    secured = access.scheme == "https" or _names_certificates(access)
    context = agent_tls_context(access) if secured else False
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(
            verify=context,
            uds=access.socket_path if access.scheme == "unix" else None,
            # Every blocking query holds a connection: a bound here would starve the others.
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=16,
                keepalive_expiry=IDLE_CONNECTION_S,
            ),
        ),
        # HTTP_PROXY and its kin are for the world outside. The agent is this host's; through
        # such a proxy the token and the leaf's private key would travel to a third party.
        trust_env=False,
    )


class HttpTransport:
    """Connections to one agent over TCP, TLS or a unix socket."""

    def __init__(self, access: AgentAccess) -> None:
        """Opens no connection. Raises ConfigurationError for unusable certificate files and names."""
        self._access = access
        self._closed = False
        self._http = open_connections(access)
        self._base = base_url(access)
        self._extensions = tls_extensions(access)

    async def exchange(self, request: AgentRequest, *, token: Secret) -> HttpAnswer:
        """Send *request*, read its whole answer.

        Raises AgentUnreachableError and, where the answer is not HTTP or is too long,
        AgentAnswerError.
        """
        if self._closed:
            raise was_closed(self._access)
        timeout_s = client_timeout_s(request.wait)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, token, timeout_s)
        except httpx.ConnectTimeout:
            raise no_connection(self._access) from None
        except (TimeoutError, httpx.TimeoutException):
            raise no_answer(request, self._access, timeout_s=timeout_s) from None
        # OSError: a TLS alert that comes after the handshake (TLS 1.3: "certificate required") reaches
        # us as the bare ssl.SSLError, the HTTP library does not wrap it.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            if self._closed:
                raise was_closed(self._access) from exc
            if isinstance(exc, httpx.RemoteProtocolError):
                ended = any(word in str(exc).lower() for word in ("disconnected", "closed"))
                raise broken_off(request, self._access, ended=ended) from exc
            raise unreachable(exc, self._access) from exc

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        await self._http.aclose()

    async def _exchange(self, request: AgentRequest, token: Secret, timeout_s: float) -> HttpAnswer:
        sent = self._http.build_request(
            request.method,
            self._base + request.path,
            params=dict(request.params),
            content=None if request.body is None else json.dumps(request.body).encode(),
            headers=request_headers(request, self._access, token),
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            extensions=self._extensions,
        )
        answer = await self._http.send(sent, stream=True, follow_redirects=False)
        try:
            body = await self._body(answer, request)
        finally:
            await answer.aclose()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpAnswer(status=answer.status_code, headers=headers, body=body)

    async def _body(self, answer: httpx.Response, request: AgentRequest) -> bytes:
        pieces = bytearray()
        async for piece in answer.aiter_bytes():
            pieces += piece
            check_length(len(pieces), request, self._access, status=answer.status_code)
        return bytes(pieces)


def _names_certificates(access: AgentAccess) -> bool:
    """Wrong files are told even where this address does not need them: they were meant."""
    return any((access.ca_file, access.ca_path, access.client_cert, access.client_key))


def base_url(access: AgentAccess) -> str:
    """What stands before the path of every request."""
    # Over a unix socket the Host header has to be some valid name: current Go servers refuse the
    # path that older Consul clients sent, so "localhost" it is, as in Consul's own client today.
    return "http://localhost" if access.scheme == "unix" else access.url


def tls_extensions(access: AgentAccess) -> dict[str, Any]:
    """The name for SNI and verification where it is not the host; a port on it is not part of it."""
    name = access.tls_server_name
    if name.count(":") == 1:
        name = name.partition(":")[0]
    if name.startswith("."):
        setting = "-tls-server-name (CONSUL_TLS_SERVER_NAME)"
        message = f"{setting}: '{name}' is no host name: give one that its certificate has"
        raise ConfigurationError(message)
    return {"sni_hostname": name} if name else {}
