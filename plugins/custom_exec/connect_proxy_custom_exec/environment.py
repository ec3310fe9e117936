"""The daemon's environment: who it is, its token, and how it reaches the agent.

``CONNECT_PROXY_ID`` and ``CONNECT_PROXY_TOKEN`` are what Consul 1.2 gave its managed proxies;
``CONSUL_*`` are the variables of Consul's API client, so that any Consul client in the daemon
works without further settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.plugin_api import ProxyContext, RenderedConfig

PROXY_ID: Final = "CONNECT_PROXY_ID"
PROXY_TOKEN: Final = "CONNECT_PROXY_TOKEN"  # noqa: S105 - a variable's name, not a token
TOKEN_FILE: Final = "CONSUL_HTTP_TOKEN_FILE"  # noqa: S105 - a variable's name, not a token

SECRET_POINTERS: Final = (f"/{PROXY_TOKEN}", "/CONSUL_HTTP_TOKEN", "/CONSUL_HTTP_AUTH")

REPLACED: Final = frozenset(
    {
        PROXY_ID,
        PROXY_TOKEN,
        TOKEN_FILE,
        # Asks `consul connect proxy` for a look-up that is already done.
        "CONNECT_SIDECAR_FOR",
        "CONSUL_CACERT",
        "CONSUL_CAPATH",
        "CONSUL_CLIENT_CERT",
        "CONSUL_CLIENT_KEY",
        "CONSUL_HTTP_ADDR",
        "CONSUL_HTTP_AUTH",
        "CONSUL_HTTP_SSL",
        "CONSUL_HTTP_SSL_VERIFY",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_NAMESPACE",
        "CONSUL_PARTITION",
        "CONSUL_TLS_SERVER_NAME",
    }
)
"""The caller's own are dropped: a flag may have overruled them, and half of two agents is none."""


def proxy_variables(context: ProxyContext) -> dict[str, str]:
    """What the daemon is told, by variable. Holds the token in clear.

    ``CONNECT_PROXY_TOKEN`` is always there and may be empty. A token that came from a file is
    named too (``CONSUL_HTTP_TOKEN_FILE``), so that the daemon can read it again when it changes.
    """
    variables = {
        PROXY_ID: context.registration.id,
        PROXY_TOKEN: context.agent.token.reveal(),
        **context.agent.environment(),
    }
    if context.agent.token_file:
        variables[TOKEN_FILE] = context.agent.token_file
    return variables


def daemon_environment(caller: Mapping[str, str], config: RenderedConfig) -> dict[str, str]:
    """The *caller*'s environment with the variables of *config* in the place of its own.

    Raises ConfigurationError where an extension made *config* something else than variables.
    """
    document = config.document
    if isinstance(document, bytes) or not all(isinstance(text, str) for text in document.values()):
        message = "the rendered config of 'custom_exec' must map variables to text: check the extensions"
        raise ConfigurationError(message)
    kept = {name: text for name, text in caller.items() if name not in REPLACED}
    return kept | dict(document)
