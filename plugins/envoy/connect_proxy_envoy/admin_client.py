"""A client for Envoy's admin API over TCP or a unix socket. Blocking; call it in a thread."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, Final

from connect_proxy.errors import ProxyControlError
from connect_proxy_envoy.address import Address, PipeAddress, SocketAddress

TIMEOUT_S: Final = 5.0


class AdminClient:
    """Envoy's admin API at one address."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def is_ready(self) -> bool:
        """``GET /ready`` says 200: Envoy is live and not draining."""
        try:
            self._request("GET", "/ready")
        except ProxyControlError:
            return False
        return True

    def post(self, path: str) -> None:
        """A change. Raises ProxyControlError."""
        self._request("POST", path)

    def statistics(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match the regular expression *pattern*."""
        answer = json.loads(self._request("GET", f"/stats?format=json&filter={pattern}"))
        return {
            entry["name"]: entry["value"]
            for entry in answer["stats"]
            if isinstance(entry.get("value"), int)
        }

    def server_info(self) -> dict[str, Any]:
        """``GET /server_info``."""
        info: dict[str, Any] = json.loads(self._request("GET", "/server_info"))
        return info

    def listeners(self) -> list[dict[str, Any]]:
        """``GET /listeners``: names and addresses, the admin API's own aside."""
        told: dict[str, Any] = json.loads(self._request("GET", "/listeners?format=json"))
        return list(told.get("listener_statuses", ()))

    def certificate_expiry(self) -> str | None:
        """When the first certificate in use ends, RFC 3339 (``GET /certs``); None before there is one."""
        told = json.loads(self._request("GET", "/certs"))
        ends = [
            one["expiration_time"]
            for entry in told.get("certificates", ())
            for one in entry.get("cert_chain", ())
            if one.get("expiration_time")
        ]
        return min(ends, default=None)

    def _request(self, method: str, path: str) -> bytes:
        connection = _Connection(self._address)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            message = f"Envoy's admin API at {str(self._address)!r} does not answer {method} {path}: {exc}"
            raise ProxyControlError(message) from exc
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            said = body.decode(errors="replace").strip()[:200]
            message = f"Envoy's admin API refuses {method} {path} with {answer.status}: {said!r}"
            raise ProxyControlError(message)
        return body


class _Connection(http.client.HTTPConnection):
    """HTTP over TCP or a unix socket."""

    def __init__(self, address: Address) -> None:
        host, port = (
            (address.host, address.port) if isinstance(address, SocketAddress) else ("localhost", 80)
        )
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._path = address.path if isinstance(address, PipeAddress) else ""

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)
