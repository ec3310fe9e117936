"""The hooks of the ``custom_exec`` backend. What they decide is in ``command`` and ``environment``."""

from connect_proxy.plugin_api import (
    ExecLaunch,
    ProxyContext,
    ProxyProcess,
    RenderedConfig,
    Supervision,
    hookimpl,
)
from connect_proxy_custom_exec import command, environment


@hookimpl
def render_config(context: ProxyContext) -> RenderedConfig:
    """The variables that the daemon gets from connect-proxy."""
    return RenderedConfig(
        document=environment.proxy_variables(context), secrets=environment.SECRET_POINTERS
    )


@hookimpl
def launch(context: ProxyContext, config: RenderedConfig) -> ExecLaunch:
    """The words after ``--``, in the caller's environment with those variables."""
    return ExecLaunch(
        argv=command.daemon_argv(context.passthrough),
        env=environment.daemon_environment(context.environment, config),
    )


@hookimpl
def supervise(context: ProxyContext, process: ProxyProcess) -> Supervision:
    """The defaults: probed on its public listener, stopped by SIGTERM."""
    return Supervision(permanent_exit_codes=command.PERMANENT_EXIT_CODES, explain_exit=command.explain_exit)
