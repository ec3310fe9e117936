"""What files say, merged as Consul merges them, to :class:`AgentConfiguration`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from connect_proxy.errors import AgentConfigurationError
from connect_proxy.managed.definitions import consul_keys, service_decoding
from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    CheckDefinition,
    PortRanges,
    ProxyDefaults,
    ServiceDefinition,
)
from connect_proxy.managed.definitions.document import Field, Table
from connect_proxy.managed.definitions.reading import (
    MISSING,
    Keys,
    Reading,
    boolean,
    integer,
    opaque,
    several,
    text,
)
from connect_proxy.managed.definitions.service_decoding import program_is_one, service
from connect_proxy.managed.definitions.service_keys import agent_check, command, exec_mode, secret
from connect_proxy.mesh.immutable import frozen
from connect_proxy.secret import NO_SECRET, Secret

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR")
OWN_FOLDER: Final = (
    "give this agent a config folder of its own: a Consul 1.6 or newer does not take managed proxies"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileContent:
    """One file's say: what is appended, and what a later file may overrule."""

    services: tuple[ServiceDefinition, ...]
    checks: tuple[CheckDefinition, ...]
    settings: Mapping[str, Any]
    unused: tuple[str, ...]
    warnings: tuple[str, ...]


def _log_level(reading: Reading, found: Field, path: str) -> Any:
    level = text(reading, found, path)
    if level is MISSING or level.upper() in LEVELS:
        return level if level is MISSING else level.upper()
    reading.problem(found.place, f'"{path}" is "{level}"; use one of {", ".join(LEVELS)}')
    return MISSING


def _address(reading: Reading, found: Field, path: str) -> Any:
    """An IP address. Consul would evaluate a template of go-sockaddr, such as ``{{ GetPrivateIP }}``."""
    address = text(reading, found, path)
    if address is MISSING or not address:
        return address
    try:
        ip_address(address)
    except ValueError:
        hint = "templates are not evaluated here; " if "{{" in address else ""
        reading.problem(found.place, f'"{path}" is "{address}", no IP address; {hint}give one')
        return MISSING
    return address


_DEFAULTS: Final = Keys(
    {
        "exec_mode": exec_mode,
        "command": command,
        "daemon_command": command,
        "backend": text,
        "config": opaque,
    },
    camel={"daemon_command": "Command"},
    unused=consul_keys.PROXY_DEFAULTS,
)


def _proxy_defaults(reading: Reading, found: Field, path: str) -> Any:
    """Command and backend as one value, so that a later file's backend overrules a command."""
    values = _DEFAULTS(reading, found, path)
    if values is MISSING or not program_is_one(reading, found, path, values):
        return MISSING
    decided: dict[str, Any] = {"Config": values.get("Config", {})}
    if "Command" in values or "Backend" in values:
        decided["Program"] = (tuple(values.get("Command", ())), values.get("Backend", ""))
    return decided


def _one(kind: Any) -> Any:
    """A block of which a file has one: ``service`` and ``check``. A list of one, so that it appends."""

    def read(reading: Reading, found: Field, path: str) -> Any:
        items = several(found)
        for second in items[1:2]:
            reading.problem(
                second.place,
                f'"{path}" stands more than once (first in line {found.place.line});'
                f' write "{path}s" for several',
            )
        values = [kind(reading, item, path) for item in items]
        return [value for value in values if value is not MISSING]

    return read


def _each(kind: Any) -> Any:
    """``services`` and ``checks``: those that could be read; the others are problems already."""

    def read(reading: Reading, found: Field, path: str) -> Any:
        values = [kind(reading, item, f"{path}[{index}]") for index, item in enumerate(several(found))]
        return [value for value in values if value is not MISSING]

    return read


def _check(reading: Reading, found: Field, path: str) -> Any:
    body = agent_check(reading, found, path)
    if body is MISSING:
        return MISSING
    token = body.pop("Token", NO_SECRET)
    return CheckDefinition(body=frozen(body), token=token, origin=reading.origin(found.place))


_TOKENS: Final = Keys({"agent": secret, "default": secret}, unused=consul_keys.ACL_TOKENS)
_AGENT: Final = Keys(
    {
        "service": _one(service),
        "services": _each(service),
        "check": _one(_check),
        "checks": _each(_check),
        "connect": Keys(
            {
                "enabled": boolean,
                "proxy": Keys(
                    {"allow_managed_root": boolean, "allow_managed_api_registration": boolean},
                ),
                "proxy_defaults": _proxy_defaults,
            },
            unused=consul_keys.CONNECT,
        ),
        "ports": Keys(
            {
                "proxy_min_port": integer,
                "proxy_max_port": integer,
                "sidecar_min_port": integer,
                "sidecar_max_port": integer,
            },
            unused=consul_keys.PORTS,
        ),
        "acl": Keys({"tokens": _TOKENS}, unused=consul_keys.ACL),
        "acl_token": secret,
        "acl_agent_token": secret,
        "data_dir": text,
        "log_level": _log_level,
        "bind_addr": _address,
        "telemetry": opaque,
    },
    unused=consul_keys.AGENT,
)

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "agent": _AGENT.names,
    "proxy_defaults": _DEFAULTS.names,
    **service_decoding.KEYS,
}
"""The keys of each kind of block, for the documentation."""


def read_table(table: Table, file: str) -> FileContent:
    """What one file says. Raises AgentConfigurationError with every problem in it."""
    reading = Reading(file=file)
    values = _AGENT.read(reading, table)
    if reading.problems:
        raise AgentConfigurationError(reading.problems)
    appended = {"Service", "Services", "Check", "Checks"}
    return FileContent(
        services=(*values.get("Service", ()), *values.get("Services", ())),
        checks=(*values.get("Check", ()), *values.get("Checks", ())),
        settings={key: value for key, value in values.items() if key not in appended},
        unused=tuple(reading.unused),
        warnings=tuple(reading.warnings),
    )


def configuration(
    contents: Iterable[FileContent], *, files: Iterable[str] = (), warnings: Iterable[str] = ()
) -> AgentConfiguration:
    """All files together: services and checks are appended, of everything else the last word counts."""
    contents = tuple(contents)
    settings: Mapping[str, Any] = {}
    for content in contents:
        settings = _merged(settings, content.settings)
    said = [*warnings, *(warning for content in contents for warning in content.warnings)]
    if unused := [key for content in contents for key in content.unused]:
        said.append(
            f"keys of Consul that mean nothing here are left aside: {', '.join(unused)}; {OWN_FOLDER}"
        )
    return _configured(
        settings,
        services=tuple(one for content in contents for one in content.services),
        checks=tuple(one for content in contents for one in content.checks),
        files=tuple(files),
        warnings=tuple(said),
    )


def _configured(settings: Mapping[str, Any], **appended: Any) -> AgentConfiguration:
    connect = settings.get("Connect", {})
    proxy, defaults = connect.get("Proxy", {}), connect.get("ProxyDefaults", {})
    words, backend = defaults.get("Program", ((), ""))
    ports, usual = settings.get("Ports", {}), PortRanges()
    return AgentConfiguration(
        connect_enabled=connect.get("Enabled", True),
        allow_managed_root=proxy.get("AllowManagedRoot", False),
        allow_managed_api_registration=proxy.get("AllowManagedApiRegistration", False),
        proxy_defaults=ProxyDefaults(
            backend=backend, command=words, config=frozen(defaults.get("Config", {}))
        ),
        ports=PortRanges(
            proxy_min=ports.get("ProxyMinPort", usual.proxy_min),
            proxy_max=ports.get("ProxyMaxPort", usual.proxy_max),
            sidecar_min=ports.get("SidecarMinPort", usual.sidecar_min),
            sidecar_max=ports.get("SidecarMaxPort", usual.sidecar_max),
        ),
        data_dir=settings.get("DataDir", ""),
        log_level=settings.get("LogLevel", ""),
        acl_token=_acl_token(settings),
        bind_address=settings.get("BindAddr", ""),
        telemetry=frozen(settings.get("Telemetry", {})),
        **appended,
    )


def _acl_token(settings: Mapping[str, Any]) -> Secret:
    """The agent's own token before the default one, today's keys before those of Consul 1.2."""
    tokens = settings.get("Acl", {}).get("Tokens", {})
    candidates = (
        tokens.get("Agent"),
        settings.get("AclAgentToken"),
        tokens.get("Default"),
        settings.get("AclToken"),
    )
    return next((token for token in candidates if token), NO_SECRET)


def _merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """*later* over *earlier*, block by block."""
    merged = dict(earlier)
    for key, value in later.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged
