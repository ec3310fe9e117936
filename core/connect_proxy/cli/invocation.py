"""What the verbs that speak to Consul have in common: settings of all layers, logs, token, access."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connect_proxy.cli.logs import canonical_level, configure_logs
from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import UsageError
from connect_proxy.settings.access import agent_access
from connect_proxy.settings.fields import PROXY_TOKEN_VARIABLE
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Setting
from connect_proxy.settings.sources import Layer, defaults, environment, read_settings_file, settings_file
from connect_proxy.settings.token import choose_token

log = logging.getLogger("connect_proxy.cli")


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """All that the layers said, and how the agent is reached."""

    settings: ResolvedSettings
    access: AgentAccess


def invocation(
    rows: Sequence[Setting], flags: Layer, variables: Mapping[str, str] | None = None
) -> Invocation:
    """Resolve *rows*, set the logs up, choose the token, put the access together."""
    variables = os.environ if variables is None else variables
    env, file = environment(rows, variables), file_layer(rows, flags)
    settings = resolve(rows, (defaults(rows), file, env, flags))
    configure_logs(canonical_level(settings.text("log-level")), as_json=settings.boolean("log-json"))
    choice = choose_token(flags=flags, environment=env, file=file, variables=variables)
    if choice.seen_in_argv:
        log.warning(
            "the ACL token was given as %s: every user of this host can read it; use -token-file or %s",
            choice.origin,
            PROXY_TOKEN_VARIABLE,
        )
    access = agent_access(settings, choice)
    if access.scheme == "https" and not access.verify:
        log.warning(
            "the agent's certificate is not checked (%s): whoever sits between can read the ACL token",
            settings.origin("http-ssl-verify"),
        )
    return Invocation(settings=settings, access=access)


def file_layer(rows: Sequence[Setting], flags: Layer) -> Layer:
    """What the file named by ``-settings`` says; nothing without that flag."""
    if "settings" not in flags:
        return {}
    path = str(flags["settings"].value)
    return settings_file(rows, read_settings_file(path), path)


def chosen_proxy(settings: ResolvedSettings, *, required: bool = True) -> tuple[str, str]:
    """(proxy id, service id whose sidecar is meant), at least one of them empty.

    The proxy's own id always wins, wherever it came from, as in Consul; what is left aside is said.
    """
    proxy_id, sidecar_for = settings.text("proxy-id"), settings.text("sidecar-for")
    if required and not proxy_id and not sidecar_for:
        message = (
            "which proxy is not said; give -sidecar-for SERVICE-ID or -proxy-id PROXY-ID"
            " (or set CONNECT_SIDECAR_FOR or CONNECT_PROXY_ID)"
        )
        raise UsageError(message)
    if proxy_id and sidecar_for:
        origins = settings.origin("proxy-id"), settings.origin("sidecar-for")
        log.warning('%s "%s" is used; %s "%s" is left aside', origins[0], proxy_id, origins[1], sidecar_for)
        return proxy_id, ""
    return proxy_id, sidecar_for
