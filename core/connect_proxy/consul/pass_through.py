"""Requests of others, handed on to the agent as they came, their answers as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.exchange import CONNECT_TIMEOUT_S
from connect_proxy.consul.failures import unreachable
from connect_proxy.consul.transport import base_url, open_connections, tls_extensions

Headers = Sequence[tuple[bytes, bytes]]

TIMEOUTS: Final = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
"""How long an answer takes is the agent's business; who waits for it may hang up."""
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Of one connection, not of the message (RFC 9110, 7.6.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PassedAnswer:
    """What the agent answered, its body still to come."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]


class PassThrough:
    """Connections to one agent for requests that are not ours."""

    def __init__(self, access: AgentAccess) -> None:
        """Opens no connection. Raises ConfigurationError for unusable certificate files."""
        self._access = access
        self._http = open_connections(access)
        self._base = base_url(access)
        self._extensions = tls_extensions(access)

    @asynccontextmanager
    async def exchange(
        self, *, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> AsyncIterator[PassedAnswer]:
        """Send one request and give its answer; leaving the context ends what is under way.

        *target* is path and query as they stood in the request line; *headers* have lower-case names.
        The answer may take for ever: the agent decides how long it blocks. Raises
        AgentUnreachableError.
        """
        url = httpx.URL(self._base).copy_with(raw_path=target)
        try:
            # Not made by the client, which would add headers of its own: who sent no Accept-Encoding
            # would be answered in gzip.
            request = httpx.Request(
                method,
                url,
                headers=[*end_to_end(headers), (b"host", url.netloc)],
                content=body,
                extensions=self._extensions | {"timeout": TIMEOUTS.as_dict()},
            )
            answer = await self._http.send(request, stream=True, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise unreachable(exc, self._access) from exc
        try:
            yield PassedAnswer(
                status=answer.status_code,
                headers=end_to_end([(name.lower(), value) for name, value in answer.headers.raw]),
                body=self._body(answer),
            )
        finally:
            await answer.aclose()

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        await self._http.aclose()

    async def _body(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                yield piece
        except (httpx.HTTPError, httpx.StreamError, OSError) as exc:
            raise unreachable(exc, self._access) from exc


def end_to_end(headers: Headers) -> Headers:
    """The headers that travel on: without those of one connection, and those that it names."""
    named = {
        word.strip().lower()
        for name, value in headers
        if name == b"connection"
        for word in value.split(b",")
    }
    return [pair for pair in headers if pair[0] not in HOP_BY_HOP | named | {b"host"}]
