"""A tiny client for Consul's HTTP API, on ``http.client``: what a test says is what goes over the wire."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ApiAnswer:
    """One answer; header names are lower-case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def index(self) -> int:
        """``X-Consul-Index``."""
        return int(self.headers["x-consul-index"])


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self.path)


@dataclass(frozen=True, kw_only=True)
class ConsulApi:
    """Calls to one agent at ``address``: host:port, [v6]:port or unix://path."""

    address: str
    token: str = ""
    tls: ssl.SSLContext | None = None

    def with_token(self, token: str) -> ConsulApi:
        return replace(self, token=token)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> ApiAnswer:
        """One request on a connection of its own. ``body``: bytes as they are, others as JSON."""
        connection = self._connection()
        sent = dict(headers or {})
        if self.token:
            sent["X-Consul-Token"] = self.token
        target = quote(path, safe="/:%@*") + (f"?{urlencode(query, doseq=True)}" if query else "")
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, target, body=content, headers=sent)
            response = connection.getresponse()
            return ApiAnswer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=response.read(),
            )
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> ApiAnswer:
        return self.request("GET", path, **query)

    def put(self, path: str, body: Any = None, **query: Any) -> ApiAnswer:
        return self.request("PUT", path, body, **query)

    def post(self, path: str, body: Any = None, **query: Any) -> ApiAnswer:
        return self.request("POST", path, body, **query)

    def delete(self, path: str, **query: Any) -> ApiAnswer:
        return self.request("DELETE", path, **query)

    def register(self, definition: dict[str, Any]) -> None:
        """Register a service; anything but success is a failure of the test."""
        self._expect(self.put("/v1/agent/service/register", definition))

    def deregister(self, service_id: str) -> None:
        self._expect(self.put(f"/v1/agent/service/deregister/{service_id}"))

    def set_intention(self, source: str, destination: str, action: str) -> str:
        """Create or change the intention between two names; its id."""
        for known in self.get("/v1/connect/intentions").json or []:
            if (known["SourceName"], known["DestinationName"]) == (source, destination):
                changed = {**known, "Action": action}
                self._expect(self.put(f"/v1/connect/intentions/{known['ID']}", changed))
                return str(known["ID"])
        wanted = {"SourceName": source, "DestinationName": destination, "Action": action}
        return str(self._expect(self.post("/v1/connect/intentions", wanted)).json["ID"])

    def clear_intentions(self) -> None:
        for known in self.get("/v1/connect/intentions").json or []:
            self._expect(self.delete(f"/v1/connect/intentions/{known['ID']}"))

    def clear_services(self) -> None:
        """Deregister all, sidecars too."""
        while services := self.get("/v1/agent/services").json:
            self.deregister(next(iter(services)))

    @staticmethod
    def _expect(answer: ApiAnswer) -> ApiAnswer:
        assert answer.status == 200, f"{answer.status}: {answer.text}"
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix://"):
            return _UnixConnection(self.address.removeprefix("unix://"), TIMEOUT_S)
        if self.tls is not None:
            return http.client.HTTPSConnection(self.address, timeout=TIMEOUT_S, context=self.tls)
        return http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
