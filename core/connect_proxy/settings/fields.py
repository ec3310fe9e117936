"""THE table of the core's settings: flag, variable, settings-file key, help, reference page follow from it.

To add one: a row here, its use, its row in ``docs/reference/settings.md``
(``python -m connect_proxy.settings.reference`` writes the page).
"""

from __future__ import annotations

from typing import Final

from connect_proxy.settings.setting import Setting, Type

GENERAL: Final = "General"
CONSUL: Final = "Consul API"

LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "ERR")
"""``ERR`` is how Consul spells ERROR."""

PROXY: Final = (
    Setting(
        name="proxy-id",
        env="CONNECT_PROXY_ID",
        metavar="ID",
        group=GENERAL,
        help="Id of the proxy's registration at the local agent.",
    ),
    Setting(
        name="sidecar-for",
        env="CONNECT_SIDECAR_FOR",
        metavar="ID",
        group=GENERAL,
        help="Id of the service instance whose only sidecar is to be run.",
    ),
)
"""Which proxy: at most one of them is given."""

RUN: Final = (
    Setting(
        name="backend",
        default="builtin",
        env="CONNECT_PROXY_BACKEND",
        metavar="NAME",
        group=GENERAL,
        help="What moves the bytes; `connect-proxy backends` lists what is installed.",
    ),
    *PROXY,
    Setting(
        name="wait",
        type=Type.DURATION,
        default=0.0,
        metavar="DURATION",
        group=GENERAL,
        help="How long a registration that is not there yet is waited for.",
    ),
    Setting(
        name="bootstrap",
        type=Type.BOOLEAN,
        default=False,
        group=GENERAL,
        in_file=False,
        help="Print what the proxy would be told, on standard output, and start nothing.",
    ),
)

COMMON: Final = (
    Setting(
        name="log-level",
        default="INFO",
        env="CONNECT_PROXY_LOG_LEVEL",
        choices=LOG_LEVELS,
        metavar="LEVEL",
        group=GENERAL,
        help="The least severe messages that are logged, on standard error.",
    ),
    Setting(
        name="log-json",
        type=Type.BOOLEAN,
        default=False,
        env="CONNECT_PROXY_LOG_JSON",
        group=GENERAL,
        help="Log JSON lines with the keys of Consul's own.",
    ),
    Setting(
        name="settings",
        metavar="FILE",
        group=GENERAL,
        in_file=False,
        help="TOML file of further settings: its keys are the flags' names without dashes.",
    ),
)

CONSUL_API: Final = (
    Setting(
        name="http-addr",
        default="127.0.0.1:8500",
        env="CONSUL_HTTP_ADDR",
        metavar="ADDRESS",
        group=CONSUL,
        help="Address of the agent's HTTP API: host:port, http://, https:// or unix:///path.",
    ),
    Setting(
        name="token",
        env="CONSUL_HTTP_TOKEN",
        metavar="TOKEN",
        group=CONSUL,
        secret=True,
        help="ACL token. As a flag it can be read by every user of this host: prefer -token-file.",
    ),
    Setting(
        name="token-file",
        env="CONSUL_HTTP_TOKEN_FILE",
        metavar="FILE",
        group=CONSUL,
        help="File that holds the ACL token; read again when it changes.",
    ),
    Setting(
        name="ca-file",
        env="CONSUL_CACERT",
        metavar="FILE",
        group=CONSUL,
        help="CA certificates (PEM) that the agent's certificate is checked against.",
    ),
    Setting(
        name="ca-path",
        env="CONSUL_CAPATH",
        metavar="DIRECTORY",
        group=CONSUL,
        help="Directory of CA certificates (PEM); -ca-file wins over it.",
    ),
    Setting(
        name="client-cert",
        env="CONSUL_CLIENT_CERT",
        metavar="FILE",
        group=CONSUL,
        help="Certificate (PEM) shown to the agent; needs -client-key.",
    ),
    Setting(
        name="client-key",
        env="CONSUL_CLIENT_KEY",
        metavar="FILE",
        group=CONSUL,
        help="Private key (PEM) of -client-cert.",
    ),
    Setting(
        name="tls-server-name",
        env="CONSUL_TLS_SERVER_NAME",
        metavar="NAME",
        group=CONSUL,
        help="Name to expect in the agent's certificate, if it is not the host of the address.",
    ),
    Setting(
        name="http-auth",
        env="CONSUL_HTTP_AUTH",
        metavar="USER:PASSWORD",
        group=CONSUL,
        flag=False,
        secret=True,
        help="HTTP basic authentication. No flag: a password in argv can be read by every user.",
    ),
    Setting(
        name="http-ssl",
        type=Type.BOOLEAN,
        default=False,
        env="CONSUL_HTTP_SSL",
        group=CONSUL,
        help="Use HTTPS where the address names no scheme.",
    ),
    Setting(
        name="http-ssl-verify",
        type=Type.BOOLEAN,
        default=True,
        env="CONSUL_HTTP_SSL_VERIFY",
        group=CONSUL,
        help="Check the agent's certificate; =false leaves the connection open to a man in the middle.",
    ),
    Setting(
        name="namespace",
        env="CONSUL_NAMESPACE",
        metavar="NAME",
        group=CONSUL,
        help="Consul Enterprise namespace.",
    ),
    Setting(
        name="partition",
        env="CONSUL_PARTITION",
        metavar="NAME",
        group=CONSUL,
        help="Consul Enterprise admin partition.",
    ),
    Setting(
        name="datacenter",
        metavar="NAME",
        group=CONSUL,
        help="Datacenter to ask in, if it is not the agent's own.",
    ),
)

CORE: Final = (*RUN, *COMMON, *CONSUL_API)
"""All settings of the core, in the order of ``--help``."""

PROXY_TOKEN_VARIABLE: Final = "CONNECT_PROXY_TOKEN"  # noqa: S105 -- a variable's name
"""Set for managed proxies: beats Consul's own variables when it is not empty."""
