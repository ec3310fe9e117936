"""Single HTTP paths shown without mTLS: for health checks from outside the mesh (``Expose.Paths``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.mesh.registration import Registration
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.http import http_filter
from connect_proxy_envoy.resources.names import (
    LOCAL_APP,
    bracketed,
    public_address,
    socket_address,
)
from connect_proxy_envoy.resources.protocol import HTTP, HTTP2, Protocol
from connect_proxy_envoy.resources.type_urls import CLUSTER, HTTP_OPTIONS, HTTP_OPTIONS_NAME, LISTENER

_NOT_ALPHANUMERIC: Final = re.compile(r"[^a-zA-Z0-9]+")
_PATH: Final = "Path"
_PORT: Final = "ListenerPort"
_CONNECT_TIMEOUT: Final = "5s"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExposedPath:
    """One path: where it is asked for, and where the application answers it."""

    path: str
    listener_port: int
    local_port: int
    """0: the service's own port."""
    protocol: Protocol

    @property
    def cluster(self) -> str:
        """``local_app`` for the service's own port."""
        return f"exposed_cluster_{self.local_port}" if self.local_port else LOCAL_APP


def exposed_paths(registration: Registration) -> Iterator[ExposedPath]:
    """What ``Expose.Paths`` lists. Raises ConfigurationError naming the entry and its key."""
    for number, entry in enumerate(registration.expose.get("Paths") or ()):
        knobs = Knobs(entry, where=f"Proxy.Expose.Paths[{number}]")
        path, port = knobs.text(_PATH), knobs.integer(_PORT, 0)
        if not path.startswith("/"):
            raise knobs.error(_PATH, path, "a path that begins with a slash")
        if not 0 < port < 65536:
            raise knobs.error(_PORT, port, "a port from 1 to 65535")
        local = knobs.integer("LocalPathPort", 0)
        yield ExposedPath(
            path=path,
            listener_port=port,
            local_port=0 if local == registration.local_service_port else local,
            protocol=HTTP2 if knobs.text("Protocol").lower() == "http2" else HTTP,
        )


def exposed_listener(exposed: ExposedPath, registration: Registration, knobs: Knobs) -> dict[str, Any]:
    """Answers exactly that path, to anybody."""
    host, _ = public_address(registration, knobs.text("bind_address"), 0)
    word = _NOT_ALPHANUMERIC.sub("", exposed.path)
    manager = http_filter(
        exposed.protocol,
        knobs,
        prefix=f"exposed_path_{word}",
        cluster=exposed.cluster,
        inbound=True,
        match={"path": exposed.path},
        shows_identity=False,
    )
    return {
        "@type": LISTENER,
        "name": f"exposed_path_{word}:{bracketed(host)}:{exposed.listener_port}",
        "address": socket_address(host, exposed.listener_port),
        "filterChains": [{"filters": [manager]}],
        "trafficDirection": "INBOUND",
    }


def exposed_cluster(exposed: ExposedPath) -> dict[str, Any] | None:
    """The application's port for that path; None if it is the service's own."""
    if not exposed.local_port:
        return None
    cluster: dict[str, Any] = {
        "@type": CLUSTER,
        "name": exposed.cluster,
        "type": "STATIC",
        "connectTimeout": _CONNECT_TIMEOUT,
        "loadAssignment": {
            "clusterName": exposed.cluster,
            "endpoints": [
                {
                    "lbEndpoints": [
                        {"endpoint": {"address": socket_address("127.0.0.1", exposed.local_port)}}
                    ]
                }
            ],
        },
    }
    if exposed.protocol is HTTP2:
        options = {"@type": HTTP_OPTIONS, "explicitHttpConfig": {"http2ProtocolOptions": {}}}
        cluster["typedExtensionProtocolOptions"] = {HTTP_OPTIONS_NAME: options}
    return cluster
