"""The order of one run, without its details."""

from __future__ import annotations

import dataclasses
import json
import sys

from connect_proxy.plugin_api import ChildLaunch, ExecLaunch, ProxyContext, RenderedConfig
from connect_proxy.proxy_run.postponed import postpone_openssl
from connect_proxy.proxy_run.request import RunRequest
from connect_proxy.proxy_run.resolution import resolve, resolve_plainly


def run_proxy(request: RunRequest) -> int:
    """Run the proxy in the foreground; the exit code. Raises the errors of :mod:`connect_proxy.errors`."""
    postpone_openssl()
    backend = request.backend
    context = resolve_plainly(request) or _resolved(request)
    context = dataclasses.replace(context, facts=backend.gather_facts(context))
    config = backend.render_config(context)
    if request.bootstrap:
        sys.stdout.write(printable(config))
        sys.stdout.flush()
        return 0
    launch = backend.launch(context, config)
    if context.is_managed and isinstance(launch, ExecLaunch):
        # In our place nobody could drain it, tell its certificate or change its log level: the agent
        # that started us asks for all that.
        launch = ChildLaunch(argv=launch.argv, env=launch.env, documents=launch.documents)
    if isinstance(launch, ExecLaunch):
        from connect_proxy.proxy_run.readiness_notice import announce_when_ready
        from connect_proxy.supervisor.process import become, find_program

        find_program(launch.argv[0], launch.env)  # before the notice: nothing half-started
        announce_when_ready(context, backend)
        become(launch.argv, launch.env, launch.documents)
    import asyncio

    from connect_proxy.proxy_run.foreground import Foreground

    return asyncio.run(Foreground(context, backend, launch).run())


def _resolved(request: RunRequest) -> ProxyContext:
    import asyncio

    return asyncio.run(resolve(request))


def printable(config: RenderedConfig) -> str:
    """What ``-bootstrap`` writes to stdout."""
    document = config.masked() if config.mask_when_printed else config.document
    if isinstance(document, bytes):
        return document.decode()
    from connect_proxy.mesh.immutable import thawed

    return json.dumps(thawed(document), indent=2) + "\n"
