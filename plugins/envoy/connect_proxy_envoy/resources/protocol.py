"""The protocol a service speaks, as its registration says: ``tcp``, ``http``, ``http2`` or ``grpc``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connect_proxy_envoy.knobs import Knobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How Envoy treats the bytes."""

    name: str
    alpn: tuple[str, ...] = ()

    @property
    def is_http(self) -> bool:
        """Whether Envoy looks into it."""
        return self.name != "tcp"


TCP: Final = Protocol(name="tcp")
HTTP: Final = Protocol(name="http", alpn=("http/1.1",))
HTTP2: Final = Protocol(name="http2", alpn=("h2", "http/1.1"))
GRPC: Final = Protocol(name="grpc", alpn=("h2", "http/1.1"))
_KNOWN: Final = {protocol.name: protocol for protocol in (TCP, HTTP, HTTP2, GRPC)}


def protocol_of(knobs: Knobs) -> Protocol:
    """The value of ``protocol``; what is unknown is carried as bytes."""
    return _KNOWN.get(knobs.text("protocol").lower(), TCP)
