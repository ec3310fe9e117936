"""What the demo tells Consul: two services with sidecars, a witness, one intention."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from agent_api import Agent
from identity import proved_identity, tls_contexts

HANDSHAKE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Who listens where on 127.0.0.1."""

    web: int
    """The application."""
    web_sidecar: int
    """Its public listener: the mesh's way in, mutual TLS only."""
    api_sidecar: int
    api_to_web: int
    """api's upstream: plain text in, mutual TLS out."""
    witness: int
    api_to_witness: int


def definitions(ports: Ports) -> dict[str, dict[str, Any]]:
    """The service definitions, as ``PUT /v1/agent/service/register`` takes them."""
    upstreams = [
        {"DestinationName": "web", "LocalBindPort": ports.api_to_web},
        {"DestinationName": "witness", "LocalBindPort": ports.api_to_witness},
    ]
    return {
        "web": {
            "Name": "web",
            "Port": ports.web,
            "Connect": {"SidecarService": _sidecar(ports.web_sidecar)},
        },
        "api": {
            "Name": "api",
            "Connect": {
                "SidecarService": _sidecar(ports.api_sidecar) | {"Proxy": {"Upstreams": upstreams}}
            },
        },
        "witness": {
            "Name": "witness-proxy",
            "Kind": "connect-proxy",
            "Address": "127.0.0.1",
            "Port": ports.witness,
            "Proxy": {"DestinationServiceName": "witness"},
        },
    }


def _sidecar(port: int) -> dict[str, Any]:
    check = {"Name": "Public listener", "TCP": f"127.0.0.1:{port}", "Interval": "1s"}
    return {"Address": "127.0.0.1", "Port": port, "Checks": [check]}


def register(agent: Agent, ports: Ports) -> None:
    """Tell the agent of all of them."""
    for definition in definitions(ports).values():
        agent.call("PUT", "/v1/agent/service/register", definition)


class Intention:
    """Whether api may call web."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.id = ""

    def set(self, action: str) -> list[str]:
        """``allow`` or ``deny``. Returns the command that does the same."""
        body = {"SourceName": "api", "DestinationName": "web", "SourceType": "consul", "Action": action}
        path = f"/v1/connect/intentions/{self.id}".rstrip("/")
        method = "PUT" if self.id else "POST"
        answer = self.agent.call(method, path, body)
        if not self.id:
            self.id = answer.value["ID"]
        return ["curl", "-X", method, "-d", json.dumps(body), f"http://{self.agent.address}{path}"]


def decision_on(agent: Agent, identity: str) -> str:
    """What Consul tells web's sidecar when somebody with this identity calls, and why."""
    question = {"Target": "web", "ClientCertURI": identity, "ClientCertSerial": ""}
    answer = agent.call("POST", "/v1/agent/connect/authorize", question).value
    return f"{'yes' if answer['Authorized'] else 'no'}: {answer['Reason']}"


def identity_behind(agent: Agent, port: int, *, caller: str) -> str:
    """Who answers on *port*, proved in a handshake in which we are the service *caller*."""
    _, connecting = tls_contexts(agent, caller)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S) as plain,
        connecting.wrap_socket(plain) as secure,
    ):
        return proved_identity(secure)


def refusal_without_certificate(port: int) -> str:
    """What a caller hears who takes no part in the mesh; empty if nothing stops him."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S) as plain,
            context.wrap_socket(plain) as secure,
        ):
            # In TLS 1.3 a server's refusal arrives with the first read. Whoever lets us in waits for
            # our request.
            return "" if secure.recv(1) else "connection closed"
    except TimeoutError:
        return ""
    except (ssl.SSLEOFError, ConnectionError):
        return "connection closed"
    except ssl.SSLError as refusal:
        return refusal.reason or str(refusal)
