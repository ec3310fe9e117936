"""What the data plane is to do, as one frozen value, derived from a snapshot. Pure.

Sources: the registration's fields and its opaque ``Proxy.Config`` and ``Upstreams[].Config``, with
the keys and defaults of Consul's built-in proxy (``connect/proxy/config.go``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from connect_proxy.mesh.certificates import Leaf, Roots
from connect_proxy.mesh.endpoints import Endpoint, UpstreamEndpoints
from connect_proxy.mesh.registration import PREPARED_QUERY, Registration, Upstream
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy.secret import Secret
from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_builtin import config_values
from connect_proxy_builtin.tls.versions import EVERY_VERSION, TlsVersions, tls_versions

LOCAL_CONNECT_TIMEOUT_S: Final = 1.0
HANDSHAKE_TIMEOUT_S: Final = 10.0
UPSTREAM_CONNECT_TIMEOUT_S: Final = 10.0
KEEPALIVE_S: Final = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketAddress:
    """A TCP address or a unix socket."""

    host: str = ""
    """Empty: all interfaces, for a listener."""
    port: int = 0
    path: str = ""
    """A unix socket instead of host and port."""
    mode: int | None = None
    """The unix socket's permissions; None: what the umask leaves."""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """How long and how many. 0 means no limit."""

    max_connections: int = 0
    idle_timeout_s: float = 0.0
    """A connection that moves no byte for so long is closed."""
    keepalive_s: float = KEEPALIVE_S
    """Silence after which TCP asks whether the peer is still there."""
    user_timeout_s: float = 0.0
    """How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundPolicy:
    """How callers reach the local application."""

    service: str
    application: SocketAddress
    connect_timeout_s: float = LOCAL_CONNECT_TIMEOUT_S
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S
    proxy_protocol: bool = False
    """Tell the application who calls, in a PROXY protocol header."""
    limits: ConnectionLimits = ConnectionLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One instance that an upstream may dial."""

    address: str
    port: int
    expected_uri: str
    """The SPIFFE URI that its certificate must carry, lower-case: identities compare without case."""
    weight: int = 1

    def __str__(self) -> str:
        return str(SocketAddress(host=self.address, port=self.port))


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamPolicy:
    """How the application reaches one dependency."""

    id: str
    listen: SocketAddress
    targets: tuple[Target, ...] = ()
    prefer_order: bool = False
    """Prepared queries: Consul's order is a preference."""
    known: bool = True
    """False: Consul has not said yet what is behind it."""
    connect_timeout_s: float = UPSTREAM_CONNECT_TIMEOUT_S
    """For one instance: TCP and TLS together."""
    limits: ConnectionLimits = ConnectionLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsMaterial:
    """What this side proves itself with, and whom it believes."""

    identity: str
    serial: str
    certificate_pem: str
    private_key: Secret
    roots_pem: str
    trust_domain: str
    valid_after: float
    """Seconds since the epoch."""
    valid_before: float
    versions: TlsVersions = EVERY_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanePolicy:
    """Everything at one moment."""

    public: SocketAddress | None
    """None: no public listener (port 0), as with Consul's own proxy."""
    inbound: InboundPolicy
    upstreams: tuple[UpstreamPolicy, ...]
    tls: TlsMaterial
    access_log: str = ""
    """A path, or ``stderr``; empty: none."""


def plane_policy(snapshot: ProxySnapshot) -> PlanePolicy:
    """What *snapshot* asks for. Raises ConfigurationError naming the key that is wrong."""
    registration = snapshot.registration
    return PlanePolicy(
        public=public_address(registration),
        inbound=inbound_policy(registration),
        upstreams=tuple(
            upstream_policy(
                upstream,
                snapshot.endpoints.get(upstream.id)
                or UpstreamEndpoints(upstream_id=upstream.id, known=False),
                trust_domain=snapshot.roots.trust_domain,
            )
            for upstream in registration.upstreams
        ),
        tls=tls_material(
            snapshot.leaf,
            snapshot.roots,
            tls_versions(registration.config, where=f"proxy {registration.id!r}"),
        ),
        access_log=access_log(registration),
    )


def public_address(registration: Registration) -> SocketAddress | None:
    """``bind_address`` and ``bind_port``, else the registration's own address and port."""
    where = f"proxy {registration.id!r}"
    bind_port = config_values.port(registration.config, "bind_port", where=where)
    bind_address = config_values.text(registration.config, "bind_address", where=where)
    port = bind_port or registration.port
    if not port:
        return None
    return SocketAddress(host=bind_address or registration.address, port=port)


def inbound_policy(registration: Registration) -> InboundPolicy:
    """The local application and the limits of the public listener."""
    config, where = registration.config, f"proxy {registration.id!r}"
    milliseconds = config_values.milliseconds
    return InboundPolicy(
        service=registration.destination_service_name,
        application=_application(registration, where),
        connect_timeout_s=milliseconds(
            config, "local_connect_timeout_ms", default=LOCAL_CONNECT_TIMEOUT_S, where=where
        ),
        handshake_timeout_s=milliseconds(
            config, "handshake_timeout_ms", default=HANDSHAKE_TIMEOUT_S, where=where
        ),
        proxy_protocol=bool(
            config_values.choice(config, "proxy_protocol", choices=("", "v2"), where=where)
        ),
        limits=replace(
            _limits(config, where),
            max_connections=config_values.count(config, "max_inbound_connections", where=where),
        ),
    )


def access_log(registration: Registration) -> str:
    """Where a line for each ended connection goes (``access_log``)."""
    return config_values.text(registration.config, "access_log", where=f"proxy {registration.id!r}")


def address_of(text: str, where: str, *, mode: int | None = None) -> SocketAddress:
    """``host:port`` or ``unix:///path``."""
    if text.startswith("unix://"):
        return SocketAddress(path=text.removeprefix("unix://"), mode=mode)
    host, port = config_values.split_host_port(text, where=where)
    return SocketAddress(host=host, port=port)


def _application(registration: Registration, where: str) -> SocketAddress:
    if registration.local_service_socket_path:
        return SocketAddress(path=registration.local_service_socket_path)
    configured = config_values.text(registration.config, "local_service_address", where=where)
    if configured:
        return address_of(configured, f"{where}: local_service_address")
    return SocketAddress(
        host=registration.local_service_address or "127.0.0.1", port=registration.local_service_port
    )


def _limits(config: Mapping[str, Any], where: str) -> ConnectionLimits:
    milliseconds = config_values.milliseconds
    return ConnectionLimits(
        idle_timeout_s=milliseconds(config, "idle_timeout_ms", default=0.0, where=where),
        keepalive_s=milliseconds(config, "tcp_keepalive_ms", default=KEEPALIVE_S, where=where),
        user_timeout_s=milliseconds(config, "tcp_user_timeout_ms", default=0.0, where=where),
    )


def upstream_policy(
    upstream: Upstream, endpoints: UpstreamEndpoints, *, trust_domain: str
) -> UpstreamPolicy:
    """One upstream with the instances that can be dialled now."""
    where = f"upstream {upstream.id!r}"
    config = upstream.config
    if upstream.local_bind_socket_path:
        mode = config_values.file_mode(upstream.local_bind_socket_mode, where=where)
        listen = SocketAddress(path=upstream.local_bind_socket_path, mode=mode)
    else:
        listen = SocketAddress(host=upstream.bind_host, port=upstream.local_bind_port)
    return UpstreamPolicy(
        id=upstream.id,
        listen=listen,
        targets=tuple(
            Target(
                address=endpoint.address,
                port=endpoint.port,
                expected_uri=_expected_uri(upstream, endpoint, trust_domain),
                weight=max(1, endpoint.weight),
            )
            for endpoint in endpoints.endpoints
            if endpoint.passing
        ),
        prefer_order=upstream.destination_type == PREPARED_QUERY,
        known=endpoints.known,
        connect_timeout_s=config_values.milliseconds(
            config, "connect_timeout_ms", default=UPSTREAM_CONNECT_TIMEOUT_S, where=where
        ),
        limits=replace(
            _limits(config, where),
            max_connections=config_values.count(config, "max_connections", where=where),
        ),
    )


def _expected_uri(upstream: Upstream, endpoint: Endpoint, trust_domain: str) -> str:
    """The service that was asked for; for a prepared query the one that Consul's answer names."""
    by_query = upstream.destination_type == PREPARED_QUERY
    return ServiceIdentity(
        trust_domain=trust_domain,
        datacenter=endpoint.datacenter,
        namespace=endpoint.namespace if by_query else upstream.destination_namespace or "default",
        service=endpoint.destination_service if by_query else upstream.destination_name,
    ).uri.lower()


def tls_material(leaf: Leaf, roots: Roots, versions: TlsVersions = EVERY_VERSION) -> TlsMaterial:
    """The leaf with its key, and every root that Consul lists: old ones too, until it drops them."""
    return TlsMaterial(
        identity=leaf.uri,
        serial=leaf.serial,
        certificate_pem=leaf.certificate_pem,
        private_key=leaf.private_key,
        roots_pem=roots.pem,
        trust_domain=roots.trust_domain.lower(),
        valid_after=leaf.valid_after.timestamp(),
        valid_before=leaf.valid_before.timestamp(),
        versions=versions,
    )
