"""From an assignment to a process: a command directly, any other backend through ``connect-proxy run``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from connect_proxy.backends import load_backend
from connect_proxy.errors import BackendLoadError
from connect_proxy.managed.assignment import Assignment
from connect_proxy.mesh.registration import Registration
from connect_proxy.plugin_api import ExecLaunch, ProxyContext
from connect_proxy.supervisor.process import ChildProcess, Spawning, spawn

log = logging.getLogger("connect_proxy.managed")

CONTROL_SOCKET_VARIABLE: Final = "CONNECT_PROXY_CONTROL_SOCKET"
"""Where ``connect-proxy run`` opens its own control socket."""
DATA_PLANE_LOG_LEVEL_VARIABLE: Final = "CONNECT_PROXY_DATA_PLANE_LOG_LEVEL"
"""What ``connect-proxy run`` tells a data plane with logs of its own, once it is up."""

REGISTRATION_WAIT: Final = "60s"
"""How long a proxy waits for its own registration: Consul may just be starting."""

EMPTY_VARIABLES: Final = MappingProxyType(
    dict.fromkeys(
        (
            "CONSUL_CACERT",
            "CONSUL_CAPATH",
            "CONSUL_CLIENT_CERT",
            "CONSUL_CLIENT_KEY",
            "CONSUL_HTTP_AUTH",
            "CONSUL_HTTP_TOKEN",
            "CONSUL_TLS_SERVER_NAME",
        ),
        "",
    )
)
"""Consul 1.2 set these for a managed proxy even where they were empty: daemons may rely on it."""


def launch_of(assignment: Assignment, door: Path | None = None) -> ExecLaunch:
    """What to execute. Raises BackendLoadError, or what the backend's hooks raise."""
    return command_launch(assignment) if assignment.proxy.command else run_launch(assignment, door)


def command_launch(assignment: Assignment) -> ExecLaunch:
    """The proxy's own command, with Consul's environment for managed proxies."""
    backend = load_backend(assignment.proxy.backend)
    context = ProxyContext(
        registration=registration_of(assignment),
        agent=assignment.access,
        passthrough=assignment.proxy.command,
        log_level=assignment.log_level,
        environment=assignment.environment,
    )
    launch = backend.launch(context, backend.render_config(context))
    if not isinstance(launch, ExecLaunch):
        message = f"backend {backend.name!r} does not run commands"
        raise BackendLoadError(message)
    env = {name: value for name, value in launch.env.items() if value or name not in EMPTY_VARIABLES}
    return ExecLaunch(argv=launch.argv, env={**EMPTY_VARIABLES, **env}, documents=launch.documents)


def run_launch(assignment: Assignment, door: Path | None = None) -> ExecLaunch:
    """``connect-proxy run`` of this very installation. The token is in its environment alone.

    *door*: where it opens its control socket.
    """
    access = assignment.access
    env = {**assignment.environment, **access.environment()}
    env["CONNECT_PROXY_TOKEN"] = env.pop("CONSUL_HTTP_TOKEN", "")
    env[CONTROL_SOCKET_VARIABLE] = str(door or "")  # there for all: it says that the proxy is managed
    env[DATA_PLANE_LOG_LEVEL_VARIABLE] = assignment.ordered_log_level or assignment.log_level
    return ExecLaunch(argv=words_of(assignment), env=env)


def words_of(assignment: Assignment) -> tuple[str, ...]:
    """The command line that it is started with."""
    proxy = assignment.proxy
    if proxy.command:
        return proxy.command
    level = assignment.ordered_log_level or assignment.log_level
    program = (sys.executable, "-m", "connect_proxy", "run")
    which = ("--backend", proxy.backend, "-proxy-id", proxy.id)
    return (*program, *which, "-wait", REGISTRATION_WAIT, "-log-level", level)


def registration_of(assignment: Assignment) -> Registration:
    """What is registered for it, as far as a backend that runs a command wants to know."""
    proxy = assignment.proxy
    return Registration(
        id=proxy.id,
        name=proxy.name,
        port=assignment.port,
        destination_service_name=proxy.service_name,
        destination_service_id=proxy.service_id,
        local_service_port=proxy.service_port,
        config=proxy.config,
        upstreams=proxy.upstreams,
    )


def start(
    assignment: Assignment,
    outputs: tuple[int, int],
    *,
    door: Path | None = None,
    before_exec: Callable[[int], None] | None,
    dies_with_us: bool,
) -> ChildProcess:
    """Start it with *outputs* as its standard output and error."""
    launch = launch_of(assignment, door)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    how = Spawning(
        dies_with_us=dies_with_us,
        stdin=null,
        stdout=outputs[0],
        stderr=outputs[1],
        before_exec=before_exec,
    )
    try:
        return spawn(launch.argv, launch.env, launch.documents, how)
    finally:
        os.close(null)
