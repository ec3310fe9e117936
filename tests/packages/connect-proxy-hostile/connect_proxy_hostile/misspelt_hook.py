from connect_proxy.plugin_api import hookimpl


@hookimpl
def render_confg(context):
    return None
