"""The admin API's access log as ``proxy-defaults`` sets it: ``AccessLogs`` (Consul 1.15 and newer)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ask_at_once
from connect_proxy.errors import AgentUnreachableError, ConfigurationError, ConsulError
from connect_proxy_envoy.agent_self import AgentXds
from connect_proxy_envoy.version import Version

FIRST: Final = Version(1, 15)
"""The first Consul that knows the key."""
WHERE: Final = "AccessLogs of the config entry proxy-defaults/global"
_LOGGERS: Final = "type.googleapis.com/envoy.extensions.access_loggers"
_STREAMS: Final = {"": "StdoutAccessLog", "stdout": "StdoutAccessLog", "stderr": "StderrAccessLog"}


def read_access_logs(access: AgentAccess, agent: AgentXds | None) -> tuple[dict[str, Any], ...]:
    """What ``admin.access_log`` is to be; empty if nothing is set, or the token may not read it.

    Raises AgentUnreachableError, ConfigurationError.
    """
    if agent is not None and agent.consul_version is not None and agent.consul_version < FIRST:
        return ()
    try:
        entry = ask_at_once(access, lambda client: client.config_entry("proxy-defaults", "global"))
    except AgentUnreachableError:
        raise
    except ConsulError:  # as Consul's own command: most often there is no such entry
        return ()
    settings = entry.get("AccessLogs")
    return access_logs(settings) if isinstance(settings, Mapping) else ()


def access_logs(settings: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """``AccessLogs`` as Envoy's. Pure. Raises ConfigurationError."""
    if not settings.get("Enabled"):
        return ()
    kind = str(settings.get("Type") or "")
    config: dict[str, Any]
    if kind == "file":
        config = {
            "@type": f"{_LOGGERS}.file.v3.FileAccessLog",
            "path": str(settings.get("Path") or ""),
            "logFormat": _format(settings),
        }
    elif kind in _STREAMS:
        config = {"@type": f"{_LOGGERS}.stream.v3.{_STREAMS[kind]}", "logFormat": _format(settings)}
    else:
        message = f"{WHERE}: Type {kind!r} is none; set file, stdout or stderr"
        raise ConfigurationError(message)
    return ({"name": "Consul Listener Filter Log", "typedConfig": config},)


def _format(settings: Mapping[str, Any]) -> dict[str, Any]:
    if text := settings.get("TextFormat"):
        return {"textFormatSource": {"inlineString": f"{text}\n"}}
    given = settings.get("JSONFormat")
    if not given:
        default = Path(__file__).with_name("access_log_format.json")
        return {"jsonFormat": json.loads(default.read_text(encoding="utf-8"))}
    try:
        parsed = json.loads(str(given))
    except ValueError as exc:
        message = f"{WHERE}: JSONFormat is no JSON: {exc}; correct it"
        raise ConfigurationError(message) from exc
    return {"jsonFormat": parsed}
