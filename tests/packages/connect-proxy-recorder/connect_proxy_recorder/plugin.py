"""A backend by somebody else: runs a Python program that records what reached it."""

import json
import sys

from connect_proxy.plugin_api import (
    ExecLaunch,
    InheritedDocument,
    RenderedConfig,
    Setting,
    Supervision,
    hookimpl,
)

PROGRAM = """
import json, sys
config = json.load(open(sys.argv[1]))
with open(config["record"], "w") as record:
    json.dump({"config": config, "argv": sys.argv[2:]}, record)
sys.exit(config["exit_code"])
"""


@hookimpl
def backend_options():
    return [
        Setting(name="recorder-file", help="Where to write the record.", metavar="FILE"),
        Setting(name="recorder-exit", help="The exit code to end with.", default="0", metavar="CODE"),
    ]


@hookimpl
def render_config(context):
    return RenderedConfig(
        document={
            "service": context.service,
            "record": context.option("recorder-file"),
            "exit_code": int(context.option("recorder-exit")),
            "token": context.agent.token.reveal(),
        },
        secrets=("/token",),
    )


@hookimpl
def launch(context, config):
    return ExecLaunch(
        argv=(sys.executable, "-c", PROGRAM, "{config}", *context.passthrough),
        env={"PATH": context.environment.get("PATH", "")},
        documents=(
            InheritedDocument(placeholder="{config}", content=json.dumps(dict(config.document)).encode()),
        ),
    )


@hookimpl
def supervise(context, process):
    return Supervision()
