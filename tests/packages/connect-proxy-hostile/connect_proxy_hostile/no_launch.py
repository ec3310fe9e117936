from connect_proxy.plugin_api import RenderedConfig, Supervision, hookimpl


@hookimpl
def render_config(context):
    return RenderedConfig(document={})


@hookimpl
def supervise(context, process):
    return Supervision()
