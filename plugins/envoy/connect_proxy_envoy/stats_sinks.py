"""Where Envoy sends statistics: ``stats_sinks`` of the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from connect_proxy_envoy.address import PipeAddress, SocketAddress, is_ip
from connect_proxy_envoy.knobs import Knobs

_METRICS: Final = "type.googleapis.com/envoy.config.metrics.v3"
_SINKS: Final = (
    ("envoy_statsd_url", "statsd", f"{_METRICS}.StatsdSink"),
    ("envoy_dogstatsd_url", "dog_statsd", f"{_METRICS}.DogStatsdSink"),
)


def stats_sinks(knobs: Knobs, environment: Mapping[str, str], *, v2: bool = False) -> list[dict[str, Any]]:
    """statsd, then dogstatsd, then the registration's own. Raises ConfigurationError naming the key."""
    sinks: list[dict[str, Any]] = []
    for key, name, kind in _SINKS:
        if url := knobs.text(key):
            address = _address(knobs, key, _expanded(knobs, key, url, environment)).to_envoy()
            if v2:
                sinks.append({"name": f"envoy.{name}", "config": {"address": address}})
            else:
                config = {"@type": kind, "address": address}
                sinks.append({"name": f"envoy.stat_sinks.{name}", "typedConfig": config})
    return sinks + knobs.json_objects("envoy_extra_stats_sinks_json")


def _expanded(knobs: Knobs, key: str, url: str, environment: Mapping[str, str]) -> str:
    """``$NAME`` alone is that variable; ``${HOST_IP}`` is replaced anywhere."""
    if url.startswith("$") and not url.startswith("${") and len(url) > 2:
        if not environment.get(url[1:]):
            raise knobs.error(key, url, f"usable: the environment has no {url[1:]!r}")
        url = environment[url[1:]]
    return url.replace("${HOST_IP}", environment.get("HOST_IP", ""))


def _address(knobs: Knobs, key: str, url: str) -> SocketAddress | PipeAddress:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise knobs.error(key, url, "a URL like udp://127.0.0.1:8125") from exc
    if parts.scheme == "unix" and parts.path:
        return PipeAddress(path=parts.path)
    if parts.scheme != "udp" or not parts.hostname or not port:
        raise knobs.error(key, url, "udp://ip:port or unix:///path")
    if not is_ip(parts.hostname):
        raise knobs.error(key, url, "an IP address (Envoy resolves no names there)")
    return SocketAddress(host=parts.hostname, port=port)
