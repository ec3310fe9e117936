from connect_proxy.plugin_api import hookimpl


@hookimpl
def render_config(contxt):
    return None
