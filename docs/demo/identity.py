"""A service's identity in the mesh: its leaf certificate, the roots, the TLS contexts made of them.

Consul puts the identity into the certificate as a URI (SPIFFE), not as a host name: hence no host
name is checked, and whoever accepts or opens a connection has to look at the URI.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from agent_api import Agent


def roots_pem(agent: Agent) -> str:
    """All roots that the mesh trusts now, more than one while they rotate."""
    roots = agent.call("GET", "/v1/agent/connect/ca/roots").value["Roots"]
    return "\n".join(root["RootCert"] for root in roots)


def tls_contexts(agent: Agent, service: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(for accepting, for connecting): both present the service's leaf and demand one of the mesh."""
    roots = roots_pem(agent)
    leaf = agent.call("GET", f"/v1/agent/connect/ca/leaf/{quote(service, safe='')}").value
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connecting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    connecting.check_hostname = False
    for context in (accepting, connecting):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=roots)
        with _readable(leaf["CertPEM"] + leaf["PrivateKeyPEM"]) as path:
            context.load_cert_chain(path)
    return accepting, connecting


def proved_identity(connection: ssl.SSLSocket) -> str:
    """The URI in the certificate that the peer proved to own in this connection's handshake."""
    names: tuple[tuple[str, str], ...] = (connection.getpeercert() or {}).get("subjectAltName", ())  # type: ignore[assignment]
    return next((value for kind, value in names if kind == "URI"), "")


def proved_serial(connection: ssl.SSLSocket) -> str:
    """The serial number of that certificate as Consul writes it: ``0a:1f``."""
    digits = str((connection.getpeercert() or {}).get("serialNumber", ""))
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).lower()


@contextmanager
def _readable(secret: str) -> Iterator[str]:
    """A path to read *secret* from: Python's ssl takes nothing else. In memory where Linux can."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("leaf"), "w+") as memory:
            memory.write(secret)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write(secret)
        file.flush()
        yield file.name
