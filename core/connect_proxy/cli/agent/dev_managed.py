"""``connect-proxy agent -dev`` or ``-server`` with definitions: the embedded agent, and managed proxies in
front of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from connect_proxy.cli.agent import dev, managed
from connect_proxy.cli.agent.control_folder import control_folder
from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import MissingDependencyError
from connect_proxy.settings.address import parse_address
from connect_proxy.settings.resolve import ResolvedSettings
from connect_proxy.settings.setting import Source

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from connect_proxy.dev_agent.agent import AgentStorage, DevAgent, Listening
    from connect_proxy.managed.state_file import DataDirectory

log = logging.getLogger("connect_proxy.agent")


def run(settings: ResolvedSettings) -> int:
    """Serve until TERM or INT. With ``-dev`` and no ``-data-dir`` the proxies end with the agent."""
    from connect_proxy.managed.state_file import DataDirectory

    paths = managed.configured_paths(settings)
    configuration = managed.read(paths)
    managed.apply_log_level(settings, configuration)
    said = settings.boolean("server") or settings.text("data-dir") or configuration.data_dir
    directory = DataDirectory(path=managed.data_directory(settings, configuration)) if said else None
    if directory is not None:
        directory.lock()
    try:
        asyncio.run(_serve(settings, directory))
    finally:
        if directory is not None:
            directory.unlock()
    return 0


async def _serve(settings: ResolvedSettings, directory: DataDirectory | None) -> None:
    from connect_proxy.managed.agent import ManagedAgent

    front = LateFront()
    storage = dev.storage_in(directory.path, settings) if directory else None
    embedded, listening = await _start_embedded(settings, front, storage)
    try:
        access = _access(listening.http)
        paths = managed.configured_paths(settings)
        options = managed.managed_options(
            settings,
            managed.read(paths),
            access=access,
            directory=directory,
            paths=paths,
            control_folder=None if directory else control_folder(os.environ, uid=os.geteuid()),
            api_is_elsewhere=True,
        )
        agent = ManagedAgent(options)
        front.put(agent.over)

        def announce(_api_address: str) -> None:
            sys.stdout.write(f"{_told(settings, listening, directory, storage)}\n")
            sys.stdout.flush()

        await agent.run(announce)
    finally:
        await embedded.stop()


async def _start_embedded(
    settings: ResolvedSettings, front: LateFront, storage: AgentStorage | None
) -> tuple[DevAgent, Listening]:
    from connect_proxy.dev_agent.agent import DevAgent

    options = dev.dev_agent_options(settings, None if storage is None else storage.kept)
    embedded = DevAgent(options, xds=dev.xds_service(settings), front=front, storage=storage)
    try:
        return embedded, await embedded.start()
    except MissingDependencyError as exc:
        if settings.source("grpc-port") is not Source.DEFAULT:
            raise
        log.warning("started without gRPC, so no xDS for Envoy: %s", exc)
    embedded = DevAgent(options, front=front, storage=storage)
    return embedded, await embedded.start()


def _access(http: str) -> AgentAccess:
    """The embedded agent as its clients reach it."""
    address = parse_address(http)
    if address.socket_path:
        return AgentAccess(scheme="unix", host="", socket_path=address.socket_path)
    return AgentAccess(host=address.host, port=address.port)


def _told(
    settings: ResolvedSettings,
    listening: Listening,
    directory: DataDirectory | None,
    storage: AgentStorage | None,
) -> str:
    if settings.text("format") != "json":
        where = str(directory.path) if directory else "none: proxies end with the agent"
        return f"{dev.text(listening, storage)}\n  data folder   {where}"
    facts = {
        "api_addr": listening.http,
        "data_dir": str(directory.path) if directory else "",
        "pid": os.getpid(),
    }
    return json.dumps({**json.loads(dev.json_line(listening)), **facts})


class LateFront:
    """What stands before the embedded agent's API: nothing, until the managed proxies' API is there.

    That API needs the embedded agent's address, which is known once it listens.
    """

    def __init__(self) -> None:
        self._embedded: ASGIApp | None = None
        self._current: ASGIApp | None = None

    def __call__(self, app: ASGIApp) -> ASGIApp:
        self._embedded = self._current = app

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            assert self._current is not None
            await self._current(scope, receive, send)

        return serve

    def put(self, over: Callable[[ASGIApp], ASGIApp]) -> None:
        """From now on what *over* makes of the embedded agent's API answers."""
        assert self._embedded is not None
        self._current = over(self._embedded)
