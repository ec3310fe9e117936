"""A supervised child in the foreground."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from connect_proxy.backends import Backend
from connect_proxy.plugin_api import ChildLaunch, ProxyContext, ProxyProcess, Supervision
from connect_proxy.supervisor.machine import RestartPolicy
from connect_proxy.supervisor.process import ChildProcess, spawn
from connect_proxy.supervisor.states import State
from connect_proxy.supervisor.supervisor import Process, Supervisor


def supervised_child(
    context: ProxyContext,
    backend: Backend,
    launch: ChildLaunch,
    *,
    default_probe: Callable[[], Awaitable[bool]],
    on_state: Callable[[State], None],
) -> Supervisor:
    """A supervisor that starts what *launch* says and looks after it as the backend says."""

    def start() -> ChildProcess:
        return spawn(launch.argv, launch.env, launch.documents)

    def supervise(process: Process) -> Supervision:
        supervision = backend.supervise(context, ProxyProcess(pid=process.pid))
        if supervision.is_ready is None:
            return dataclasses.replace(supervision, is_ready=default_probe)
        return supervision

    return Supervisor(
        name=context.registration.id,
        start=start,
        supervise=supervise,
        policy=foreground_policy,
        on_state=on_state,
    )


def foreground_policy(supervision: Supervision | None) -> RestartPolicy:
    """In the foreground a start that fails is told to the caller, and an end in order ends the run."""
    return RestartPolicy(
        restart_before_ready=False,
        restart_after_success=False,
        permanent_exit_codes=supervision.permanent_exit_codes if supervision else frozenset(),
    )
