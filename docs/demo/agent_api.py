"""The few calls to the Consul agent that the demo makes. Standard library only."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


class AgentRefusedError(Exception):
    """The agent answered, but with another status than 200."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A decoded JSON body and the index to block on next."""

    value: Any
    index: int


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent's HTTP API."""

    host: str
    port: int
    token: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """As ``CONSUL_HTTP_ADDR`` takes it."""
        return f"{self.host}:{self.port}"

    def call(self, method: str, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> Answer:
        """One request. Raises OSError, http.client.HTTPException and AgentRefusedError."""
        connection: http.client.HTTPConnection
        if self.tls:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout_s, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        headers = {"X-Consul-Token": self.token} if self.token else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            message = f"{method} {path}: {response.status} {content.decode(errors='replace').strip()}"
            raise AgentRefusedError(message)
        return Answer(
            value=json.loads(content) if content.strip() else None,
            index=int(response.headers.get("X-Consul-Index") or 0),
        )


def agent_from_environment(environment: Mapping[str, str]) -> Agent:
    """The agent that ``CONSUL_HTTP_ADDR`` and the variables beside it lead to. TCP only."""
    address = environment.get("CONSUL_HTTP_ADDR") or "127.0.0.1:8500"
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in {"http", "https"}:
        sys.exit(f"the demo reaches agents over TCP only, not at {address!r}")
    secure = parts.scheme == "https" or environment.get("CONSUL_HTTP_SSL") == "true"
    return Agent(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 8500,
        token=environment.get("CONNECT_PROXY_TOKEN") or environment.get("CONSUL_HTTP_TOKEN", ""),
        tls=ssl.create_default_context(cafile=environment.get("CONSUL_CACERT")) if secure else None,
    )
