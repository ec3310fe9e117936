"""An extension by somebody else: wraps two hooks of whatever backend was chosen."""

import dataclasses

from connect_proxy.plugin_api import hookimpl


@hookimpl(wrapper=True)
def render_config(context):
    config = yield
    return dataclasses.replace(config, document={**config.document, "traced": True})


@hookimpl(wrapper=True)
def launch(context, config):
    what = yield
    return dataclasses.replace(what, argv=(*what.argv, "--traced"))
