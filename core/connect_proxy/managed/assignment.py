"""What one managed proxy is started with, once its port and its token are known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.managed.definitions.configuration import ManagedProxy
from connect_proxy.managed.tokens import token_hash
from connect_proxy.secret import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A wanted proxy with everything that only running decides."""

    proxy: ManagedProxy
    port: int
    access: AgentAccess
    """Where it finds Consul, with its own token: a custom daemon the agent's API, others Consul itself."""
    token_accessor: str = ""
    mints_token: bool = False
    """Its token is a random one, made anew at each start: Consul's ACLs are off."""
    log_level: str = "INFO"
    ordered_log_level: str = ""
    """An operator's, which counts before the other; empty: none."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The little of the agent's environment that proxies get: PATH, HOME, LANG …"""
    refused: str = ""
    """Why it must not run; empty if it may."""
    awaits: str = ""
    """Why it cannot be started now, though it may run on; empty if it can."""

    @property
    def hindrance(self) -> str:
        """Why it is not to be started now, empty if it may be."""
        return self.refused or self.awaits

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the process has to be restarted.

        What the proxy learns from its registration (upstreams, config) is not in it: that is read live.
        Nor are the log level and the inherited variables, so that an agent started from another shell
        restarts nothing, as Consul's did; nor the secret, which may be minted anew while an adopted
        process keeps the old one, unless the definition says which: what it says has to be used.
        """
        parts = {
            "backend": self.proxy.backend,
            "command": self.proxy.command,
            "service": [self.proxy.service_id, self.proxy.service_name],
            "port": self.port,
            "address": self.access.url,
        }
        if self.proxy.token:
            parts["token"] = token_hash(self.proxy.token)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


SHARED_ADDRESSES_VARIABLE: Final = "CONNECT_PROXY_SHARED_ADDRESSES"
"""Where the process before it listens (``ProxyContext.shared_addresses``)."""


def beside(assignment: Assignment, addresses: Iterable[str]) -> Assignment:
    """The same for a process whose predecessor listens on *addresses* and shares them."""
    environment = {**assignment.environment, SHARED_ADDRESSES_VARIABLE: " ".join(addresses)}
    return dataclasses.replace(assignment, environment=environment)


def with_new_token(assignment: Assignment) -> Assignment:
    """The same with a random token of its own."""
    access = dataclasses.replace(assignment.access, token=Secret(str(uuid.uuid4())), token_file="")
    return dataclasses.replace(assignment, access=access)


INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a proxy gets of the agent's environment: never its token, nor what else an operator set."""
    return {name: environment[name] for name in INHERITED if name in environment}
