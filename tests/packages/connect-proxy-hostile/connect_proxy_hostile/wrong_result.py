from connect_proxy.plugin_api import ExecLaunch, Supervision, hookimpl


@hookimpl
def render_config(context):
    return "not a RenderedConfig"


@hookimpl
def launch(context, config):
    return ExecLaunch(argv=("true",), env={})


@hookimpl
def supervise(context, process):
    return Supervision()
