"""A small sidecar proxy of our own, to be run by the ``custom_exec`` backend.

    connect-proxy --backend custom_exec -sidecar-for web -- python docs/demo/mtls_daemon.py

It shows what any program needs to take part in the mesh: CONNECT_PROXY_ID, CONNECT_PROXY_TOKEN and
the CONSUL_* variables come from connect-proxy, everything else from the agent's HTTP API. One
thread a connection and no retries: for reading, not for production.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from agent_api import Agent, AgentRefusedError, agent_from_environment
from identity import proved_identity, proved_serial, tls_contexts
from relay import relay

HANDSHAKE_S = 10.0
CONNECT_S = 5.0
RENEWAL_RETRY_S = 2.0


class RefusedPeerError(Exception):
    """The peer is not who it has to be, or may not speak with us."""


class Daemon:
    """One sidecar: a public listener for its service, a local listener for each upstream."""

    def __init__(self, agent: Agent, proxy_id: str) -> None:
        self.agent = agent
        registration = agent.call("GET", f"/v1/agent/service/{quote(proxy_id, safe='')}").value
        self.proxy: Mapping[str, Any] = registration["Proxy"]
        self.address: str = registration.get("Address") or "0.0.0.0"  # noqa: S104 - Consul's default
        self.port: int = registration["Port"]
        self.service: str = self.proxy["DestinationServiceName"]
        self.accepting, self.connecting = tls_contexts(agent, self.service)

    def start(self) -> None:
        """Listen, and return: everything else happens in threads."""
        _start(self.keep_certificates_fresh)
        for upstream in self.proxy.get("Upstreams") or []:
            address = (upstream.get("LocalBindAddress") or "127.0.0.1", upstream["LocalBindPort"])
            _serve(address, partial(self.serve_upstream, upstream))
        _serve((self.address, self.port), self.serve_caller)

    def keep_certificates_fresh(self) -> None:
        """Block on the leaf and take the new one into use when there is one."""
        index = 0
        path = f"/v1/agent/connect/ca/leaf/{quote(self.service, safe='')}"
        while True:
            try:
                answer = self.agent.call("GET", f"{path}?index={index}&wait=60s", timeout_s=75)
                if answer.index != index:
                    self.accepting, self.connecting = tls_contexts(self.agent, self.service)
                index = answer.index
            except (OSError, http.client.HTTPException, AgentRefusedError) as failure:
                log(f"the certificate was not renewed, trying again: {failure}")
                threading.Event().wait(RENEWAL_RETRY_S)

    def serve_caller(self, client: socket.socket) -> None:
        """Somebody of the mesh calls our service: handshake, ask Consul, only then the service."""
        client.settimeout(HANDSHAKE_S)
        with self.accepting.wrap_socket(client, server_side=True) as secure:
            self.authorize(secure)
            target = (
                self.proxy.get("LocalServiceAddress") or "127.0.0.1",
                self.proxy["LocalServicePort"],
            )
            with socket.create_connection(target, timeout=CONNECT_S) as application:
                relay(secure, application)

    def authorize(self, caller: ssl.SSLSocket) -> None:
        """Ask the agent whether an intention lets this caller in. Raises RefusedPeerError."""
        question = {
            "Target": self.service,
            "ClientCertURI": proved_identity(caller),
            "ClientCertSerial": proved_serial(caller),
        }
        decision = self.agent.call("POST", "/v1/agent/connect/authorize", question).value
        if not decision["Authorized"]:
            message = f"{question['ClientCertURI']} may not call {self.service}: {decision['Reason']}"
            raise RefusedPeerError(message)

    def serve_upstream(self, upstream: Mapping[str, Any], client: socket.socket) -> None:
        """Our application calls another service: find it, and see that it is the one."""
        instance = self.instance_of(upstream)
        address = (
            instance["Service"]["Address"] or instance["Node"]["Address"],
            instance["Service"]["Port"],
        )
        with (
            closing(client),
            socket.create_connection(address, timeout=CONNECT_S) as plain,
            self.connecting.wrap_socket(plain) as secure,
        ):
            # Consul's identities: spiffe://<trust domain>/ns/default/dc/<datacenter>/svc/<service>.
            # The trust domain is vouched for by the roots.
            wanted = f"/ns/default/dc/{instance['Node']['Datacenter']}/svc/{upstream['DestinationName']}"
            proved = proved_identity(secure)
            if urlsplit(proved).path != wanted:
                message = f"{address} proved to be {proved!r}, wanted {wanted!r}"
                raise RefusedPeerError(message)
            relay(client, secure)

    def instance_of(self, upstream: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first healthy instance. Raises RefusedPeerError if there is none."""
        name = quote(upstream["DestinationName"], safe="")
        instances = self.agent.call("GET", f"/v1/health/connect/{name}?passing=1").value
        if not instances:
            message = f"no healthy instance of {upstream['DestinationName']}"
            raise RefusedPeerError(message)
        instance: Mapping[str, Any] = instances[0]
        return instance


def log(message: str) -> None:
    """To standard error, at once."""
    print(f"mtls_daemon: {message}", file=sys.stderr, flush=True)


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _serve(address: tuple[str, int], handle: Callable[[socket.socket], None]) -> None:
    """Accept on *address* in a thread, each connection in one of its own."""
    listener = socket.create_server(address, backlog=128)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            _start(partial(_handle, client, handle))

    _start(accept)


def _handle(client: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with closing(client):
        try:
            handle(client)
        except (OSError, RefusedPeerError, AgentRefusedError, http.client.HTTPException) as failure:
            log(f"connection closed: {failure}")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    daemon = Daemon(agent_from_environment(os.environ), os.environ["CONNECT_PROXY_ID"])
    daemon.start()
    log(f"{daemon.service}: listening on {daemon.address}:{daemon.port}")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
