"""How the Consul agent is reached: address, token, TLS. Consul's API client settings as one value."""

from __future__ import annotations

from dataclasses import dataclass

from connect_proxy.secret import NO_SECRET, Secret

DEFAULT_PORT = 8500


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentAccess:
    """Where the agent's HTTP API is and what is shown to it."""

    scheme: str = "http"
    """``http``, ``https`` or ``unix``."""
    host: str = "127.0.0.1"
    """Name or IP address without brackets; empty for ``unix``."""
    port: int = DEFAULT_PORT
    socket_path: str = ""
    """For ``unix`` only."""
    token: Secret = NO_SECRET
    token_file: str = ""
    """Read again when it changes; ``token`` holds what it said at the start."""
    http_auth: Secret = NO_SECRET
    """``user[:password]`` for HTTP basic authentication."""
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    verify: bool = True
    """False: ``CONSUL_HTTP_SSL_VERIFY=false``, the agent's certificate is not checked."""
    namespace: str = ""
    partition: str = ""
    datacenter: str = ""

    @property
    def url(self) -> str:
        """The address as ``CONSUL_HTTP_ADDR`` would spell it: ``http://[::1]:8500``, ``unix:///path``."""
        if self.scheme == "unix":
            return f"unix://{self.socket_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """The ``CONSUL_*`` variables that make any Consul client reach the same agent.

        Holds the token and the basic-auth pair in clear: for a child's environment only. Variables
        that would be empty are left out, but for ``CONSUL_HTTP_ADDR`` and the two booleans.
        """
        unix = self.scheme == "unix"
        variables = {
            "CONSUL_HTTP_ADDR": self.url if unix else self.url.split("://", 1)[1],
            "CONSUL_HTTP_SSL": "true" if self.scheme == "https" else "false",
            "CONSUL_HTTP_SSL_VERIFY": "true" if self.verify else "false",
        }
        optional = {
            "CONSUL_HTTP_TOKEN": self.token.reveal(),
            "CONSUL_HTTP_AUTH": self.http_auth.reveal(),
            "CONSUL_CACERT": self.ca_file,
            "CONSUL_CAPATH": self.ca_path,
            "CONSUL_CLIENT_CERT": self.client_cert,
            "CONSUL_CLIENT_KEY": self.client_key,
            "CONSUL_TLS_SERVER_NAME": self.tls_server_name,
            "CONSUL_NAMESPACE": self.namespace,
            "CONSUL_PARTITION": self.partition,
        }
        return variables | {name: value for name, value in optional.items() if value}
