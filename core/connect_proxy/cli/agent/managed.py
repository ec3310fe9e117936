"""``connect-proxy agent -config-dir …``: managed proxies in front of a Consul."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from connect_proxy.cli.agent.rows import MANAGED_ROWS
from connect_proxy.cli.logs import ALIASES, LEVELS, canonical_level, configure_logs
from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ConfigurationError, MalformedValueError
from connect_proxy.secret import Secret
from connect_proxy.settings.address import parse_address
from connect_proxy.settings.resolve import ResolvedSettings, malformed
from connect_proxy.settings.setting import Source

if TYPE_CHECKING:
    from connect_proxy.managed.definitions.configuration import AgentConfiguration
    from connect_proxy.managed.options import ManagedAgentOptions
    from connect_proxy.managed.state_file import DataDirectory


def run(settings: ResolvedSettings, access: AgentAccess) -> int:
    """Serve until TERM or INT; 0 then. Raises ConfigurationError, DataDirectoryLockedError and others."""
    from connect_proxy.managed.state_file import DataDirectory

    paths = configured_paths(settings)
    configuration = read(paths)
    apply_log_level(settings, configuration)
    directory = DataDirectory(path=data_directory(settings, configuration))
    options = managed_options(settings, configuration, access=access, directory=directory, paths=paths)
    if settings.boolean("dry-run"):
        for line in asyncio.run(_dry_run(options)) or ["nothing would change"]:
            sys.stdout.write(f"{line}\n")
        return 0
    directory.lock()
    try:
        asyncio.run(_serve(options, settings))
    finally:
        directory.unlock()
    return 0


async def _serve(options: ManagedAgentOptions, settings: ResolvedSettings) -> None:
    from connect_proxy.managed.agent import ManagedAgent

    as_json = settings.text("format") == "json"
    assert options.directory is not None
    folder = str(options.directory.path)

    def announce(api_address: str) -> None:
        facts = {"api_addr": api_address, "data_dir": folder, "pid": os.getpid()}
        sys.stdout.write(f"{json.dumps(facts) if as_json else text(facts)}\n")
        sys.stdout.flush()

    await ManagedAgent(options).run(announce)


async def _dry_run(options: ManagedAgentOptions) -> list[str]:
    from connect_proxy.managed.agent import ManagedAgent

    return await ManagedAgent(options).preview()


def text(facts: dict[str, object]) -> str:
    """Where it is, for people."""
    names = {"api_addr": "HTTP API", "data_dir": "data directory", "pid": "pid"}
    rows = "\n".join(f"  {names[name]:<14}  {value}" for name, value in facts.items())
    return f"connect-proxy agent: managed proxies\n{rows}"


def configured_paths(settings: ResolvedSettings) -> tuple[Path, ...]:
    """Folders and files in the order of the settings: folders first. Raises ConfigurationError for none."""
    names = [*_several(settings, "config-dir"), *_several(settings, "config-file")]
    return tuple(Path(name) for name in names)


def _several(settings: ResolvedSettings, name: str) -> tuple[str, ...]:
    return tuple(str(one) for one in settings.values[name].value)  # type: ignore[attr-defined]


def read(paths: tuple[Path, ...]) -> AgentConfiguration:
    """What the files say, checked as ``connect-proxy validate`` does. Raises AgentConfigurationError."""
    from connect_proxy.managed.definitions.loading import load_configuration

    return load_configuration(paths)


def data_directory(settings: ResolvedSettings, configuration: AgentConfiguration) -> Path:
    """``-data-dir``, the files' ``data_dir``, else the conventional one."""
    from connect_proxy.managed.data_directory import default_data_directory

    said = settings.text("data-dir") or configuration.data_dir
    path = Path(said) if said else default_data_directory(os.environ, uid=os.geteuid())
    return path.absolute()


def apply_log_level(settings: ResolvedSettings, configuration: AgentConfiguration) -> None:
    """The files' ``log_level`` counts where neither flag nor variable said one."""
    configure_logs(log_level(settings, configuration), as_json=settings.boolean("log-json"))


def log_level(settings: ResolvedSettings, configuration: AgentConfiguration) -> str:
    """The level of the agent's logs, and of what the proxies inherit. Raises ConfigurationError."""
    if settings.source("log-level") is not Source.DEFAULT or not configuration.log_level:
        return canonical_level(settings.text("log-level"))
    level = canonical_level(configuration.log_level.upper())
    if level not in LEVELS:
        known = ", ".join((*LEVELS, *ALIASES))
        message = f'log_level of the files is "{configuration.log_level}"; use one of {known}'
        raise ConfigurationError(message)
    return level


def managed_options(
    settings: ResolvedSettings,
    configuration: AgentConfiguration,
    *,
    access: AgentAccess,
    directory: DataDirectory | None,
    paths: tuple[Path, ...],
    control_folder: Path | None = None,
    api_is_elsewhere: bool = False,
) -> ManagedAgentOptions:
    """The agent's options from command line and files. Raises UsageError for a malformed address.

    *control_folder*: of the control socket, where there is no data directory. *api_is_elsewhere*: the
    API stands in front of another one, and is reached where *access* leads.
    """
    from connect_proxy.managed.options import ManagedAgentOptions
    from connect_proxy.supervisor.notify import service_manager

    return ManagedAgentOptions(
        paths=paths,
        directory=directory,
        access=with_token_of_files(access, configuration.acl_token),
        api_address=None if api_is_elsewhere else api_address(settings),
        control_folder=control_folder,
        log_level=log_level(settings, configuration),
        level_of=lambda read_again: log_level(settings, read_again),
        set_level=lambda level: configure_logs(level, as_json=settings.boolean("log-json")),
        environment=dict(os.environ),
        manager=service_manager(os.environ, pid=os.getpid()),
    )


def with_token_of_files(access: AgentAccess, token: Secret) -> AgentAccess:
    """``acl.tokens`` of the files counts where nobody else gave a token."""
    if access.token or access.token_file or not token:
        return access
    return dataclasses.replace(access, token=token)


def api_address(settings: ResolvedSettings) -> tuple[str, int]:
    """Host and port of ``-api-addr``. Raises UsageError or ConfigurationError."""
    said = settings.values["api-addr"]
    host, colon, port = settings.text("api-addr").rpartition(":")
    if colon and port == "0":
        return host.strip("[]") or "127.0.0.1", 0
    try:
        address = parse_address(settings.text("api-addr"))
        if address.scheme or not colon:
            message = "not host:port"
            raise MalformedValueError(message)
    except MalformedValueError as exc:
        row = next(row for row in MANAGED_ROWS if row.name == "api-addr")
        raise malformed(row, said, exc) from exc
    return address.host, address.port
