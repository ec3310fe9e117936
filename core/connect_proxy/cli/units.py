"""The units that ``connect-proxy systemd`` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AGENT: Final = """\
# /etc/systemd/system/connect-proxy-agent.service
# The agent of managed proxies. Definitions: /etc/connect-proxy.d
# Its ACL token: /etc/connect-proxy/consul.token (an empty file where Consul's ACLs are off).
# Needs the user connect-proxy: useradd --system connect-proxy
[Unit]
Description=Consul Connect managed proxies
Wants=network-online.target
After=network-online.target consul.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=30
User=connect-proxy
EnvironmentFile=-/etc/connect-proxy/agent.env
ExecStartPre=@program@ validate /etc/connect-proxy.d
ExecStart=@program@ agent -config-dir /etc/connect-proxy.d -token-file %d/consul-token
ExecReload=/bin/kill -HUP $MAINPID
LoadCredential=consul-token:/etc/connect-proxy/consul.token
# $STATE_DIRECTORY: state, logs, control socket.
StateDirectory=connect-proxy
StateDirectoryMode=0700
# Proxies outlive a stop or restart of this unit and are found again by the next start. To end them too:
# connect-proxy stop -all -data-dir /var/lib/connect-proxy
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
# Misconfigured (2, 3, 4) or refused (6): trying again cannot help.
RestartPreventExitStatus=2 3 4 6
TimeoutStartSec=300
LimitNOFILE=65536
LimitCORE=0
UMask=0077
# Proxies inherit all of these. No PrivateTmp, no RuntimeDirectory: systemd removes both when the unit
# stops, and the proxies that live on would lose them.
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""

SERVER: Final = (
    AGENT.replace("connect-proxy-agent.service", "connect-proxy-server.service")
    .replace("# The agent of managed proxies. Definitions", "# A mesh on this host alone. Definitions")
    .replace(
        "# Its ACL token: /etc/connect-proxy/consul.token (an empty file where Consul's ACLs are off).\n",
        "",
    )
    .replace(
        "Consul Connect managed proxies", "Consul-compatible agent and managed proxies of a single host"
    )
    .replace(" consul.service", "")
    .replace(
        "agent -config-dir /etc/connect-proxy.d -token-file %d/consul-token",
        "agent -server -config-dir /etc/connect-proxy.d",
    )
    .replace("LoadCredential=consul-token:/etc/connect-proxy/consul.token\n", "")
)
"""As the agent's, with no Consul behind: no token for it."""

SIDECAR: Final = """\
# /etc/systemd/system/connect-proxy@.service
# One sidecar that nobody manages: connect-proxy@web is that of the service web.
# Its ACL token: /etc/connect-proxy/web.token (an empty file where Consul's ACLs are off).
[Unit]
Description=Consul Connect sidecar of %i
Wants=network-online.target
After=network-online.target consul.service
StartLimitIntervalSec=0

[Service]
Type=notify
# Envoy and custom_exec take connect-proxy's place: the notice of readiness then comes from another pid.
# No WatchdogSec for the same reason: those programs do not speak to systemd.
NotifyAccess=all
Environment=CONNECT_PROXY_BACKEND=builtin
EnvironmentFile=-/etc/connect-proxy/%i.env
ExecStart=@program@ -sidecar-for %i -wait 5m -token-file %d/consul-token
ExecReload=/bin/kill -HUP $MAINPID
LoadCredential=consul-token:/etc/connect-proxy/%i.token
# Not the agent's user, to whom its data directory and its control socket belong.
User=connect-proxy-sidecar
DynamicUser=yes
RuntimeDirectory=connect-proxy-%i
Restart=always
RestartSec=1
# Misconfigured (2, 3, 4) or refused (6): trying again cannot help.
RestartPreventExitStatus=2 3 4 6
TimeoutStartSec=330
TimeoutStopSec=30
LimitNOFILE=65536
LimitCORE=0
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=multi-user.target
"""

UNITS: Final[Mapping[str, str]] = {"agent": AGENT, "server": SERVER, "sidecar": SIDECAR}


def unit(name: str, *, program: str) -> str:
    """The text of that unit, starting *program* (an absolute path)."""
    # systemd splits at blanks, and takes % and $ for its own.
    escaped = program.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"').replace("$", "$$")
    return UNITS[name].replace("@program@", f'"{escaped}"' if " " in program else escaped)
