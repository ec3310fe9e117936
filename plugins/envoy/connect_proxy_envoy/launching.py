"""What to start: Envoy in connect-proxy's place, or Envoy as a child beside our xDS server."""

from __future__ import annotations

import json

from connect_proxy.errors import MissingProgramError
from connect_proxy.mesh.immutable import thawed
from connect_proxy.plugin_api import (
    ChildLaunch,
    ExecLaunch,
    InheritedDocument,
    Launch,
    ProxyContext,
    RenderedConfig,
)
from connect_proxy_envoy.command_line import PLACEHOLDER, child_environment, command_line, delivery
from connect_proxy_envoy.facts import facts_of
from connect_proxy_envoy.xds.companion import XdsCompanion


def launch(context: ProxyContext, config: RenderedConfig) -> Launch:
    """Raises MissingProgramError where no Envoy was looked for (``-bootstrap``)."""
    facts = facts_of(context)
    if facts.program is None:
        message = "Envoy was not looked for, since only the bootstrap was asked for; leave -bootstrap out"
        raise MissingProgramError(message)
    document = InheritedDocument(
        placeholder=PLACEHOLDER,
        content=_as_bytes(config),
        delivery=delivery(facts.program.version),
    )
    argv = command_line(facts.program, context.passthrough)
    env = child_environment(context.environment)
    if not facts.xds.is_local:
        return ExecLaunch(argv=argv, env=env, documents=(document,))
    companion = XdsCompanion(facts.program.version)
    return ChildLaunch(argv=argv, env=env, documents=(document,), companion=companion, runtime_dir=True)


def _as_bytes(config: RenderedConfig) -> bytes:
    if isinstance(config.document, bytes):
        return config.document
    return json.dumps(thawed(config.document)).encode()
