"""The settings of ``connect-proxy agent``, of both its ways."""

from __future__ import annotations

from typing import Final

from connect_proxy.settings.fields import COMMON, CONSUL_API
from connect_proxy.settings.setting import Setting, Type

OFF: Final = -1
MANAGED: Final = "Managed proxies"
EMBEDDED: Final = "Embedded agent (-dev, -server)"


def _port(name: str, default: int, what: str) -> Setting:
    return Setting(
        name=name,
        type=Type.INTEGER,
        default=default,
        metavar="PORT",
        group=EMBEDDED,
        in_file=False,
        help=what,
    )


def _embedded(name: str, metavar: str, what: str, default: str = "") -> Setting:
    return Setting(name=name, default=default, metavar=metavar, group=EMBEDDED, in_file=False, help=what)


DATA_DIR: Final = Setting(
    name="data-dir",
    metavar="DIRECTORY",
    group=MANAGED,
    help=(
        "Where state, logs and the control socket are; else data_dir of the files, $STATE_DIRECTORY,"
        " /var/lib/connect-proxy for root, $XDG_STATE_HOME/connect-proxy."
    ),
)

MANAGED_ROWS: Final = (
    Setting(
        name="config-dir",
        type=Type.STRINGS,
        default=(),
        metavar="DIRECTORY",
        group=MANAGED,
        help="Folder of definitions (.hcl, .json), read in order of their names; may be repeated.",
    ),
    Setting(
        name="config-file",
        type=Type.STRINGS,
        default=(),
        metavar="FILE",
        group=MANAGED,
        help="File of definitions; may be repeated.",
    ),
    DATA_DIR,
    Setting(
        name="api-addr",
        default="127.0.0.1:8510",
        metavar="ADDRESS",
        group=MANAGED,
        help="host:port of the agent's own HTTP API; port 0 picks a free one.",
    ),
    Setting(
        name="dry-run",
        type=Type.BOOLEAN,
        default=False,
        group=MANAGED,
        in_file=False,
        help="Print what would be started, restarted and stopped, and do nothing.",
    ),
    Setting(
        name="format",
        default="text",
        choices=("text", "json"),
        group=MANAGED,
        in_file=False,
        help="How it is told that the agent is up; json is one line, written once it answers.",
    ),
)

DEV_ROWS: Final = (
    Setting(
        name="dev",
        type=Type.BOOLEAN,
        default=False,
        group=EMBEDDED,
        in_file=False,
        help="Run a small Consul of our own, everything in memory: for development and tests.",
    ),
    Setting(
        name="server",
        type=Type.BOOLEAN,
        default=False,
        group=EMBEDDED,
        in_file=False,
        help="The same for a single host: what is written outlasts a restart, in the data directory.",
    ),
    Setting(
        name="bootstrap-expect",
        type=Type.INTEGER,
        default=1,
        metavar="N",
        group=EMBEDDED,
        in_file=False,
        help="With -server: how many servers there are; 1 is all that this agent can be.",
    ),
    Setting(
        name="ca-grace",
        type=Type.DURATION,
        default=45.0,
        metavar="DURATION",
        group=EMBEDDED,
        in_file=False,
        help="With -server: how long sidecars keep their certificates after a restart of the agent.",
    ),
    _port("http-port", 8500, "Port of the HTTP API; 0 picks a free one."),
    _port("grpc-port", 8502, "Port that serves xDS to Envoy; 0 picks a free one, -1 is off."),
    _port("dns-port", 8600, "Port of DNS, UDP and TCP; 0 picks a free one, -1 is off."),
    _embedded(
        "client",
        "ADDRESS",
        "IP address that HTTP, gRPC and DNS listen on, or unix:///path for HTTP alone.",
        "127.0.0.1",
    ),
    _embedded(
        "bind",
        "ADDRESS",
        "The node's own IP address: where services without an address are reached.",
        "127.0.0.1",
    ),
    _embedded("node", "NAME", "Name of the node; the host's name if not given."),
    _embedded("datacenter", "NAME", "Name of the datacenter.", "dc1"),
    _port("sidecar-min-port", 21000, "First port that is handed out to sidecars."),
    _port("sidecar-max-port", 21255, "Last port that is handed out to sidecars."),
)

CONSUL_ROWS: Final = tuple(row for row in CONSUL_API if row.name != "datacenter")
"""The Consul behind: services are registered at it, always in its own datacenter."""

ROWS: Final = (*MANAGED_ROWS, *COMMON, *DEV_ROWS, *CONSUL_ROWS)
