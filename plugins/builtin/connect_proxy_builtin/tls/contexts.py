"""One pair of ``ssl.SSLContext`` per certificate generation: the engine that every Python has.

A new pair for each generation is what makes removed roots stop being trusted and keeps session
tickets from surviving: their keys live in the server context and die with it.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin.policy import TlsMaterial
from connect_proxy_builtin.tls.channel import TlsChannel
from connect_proxy_builtin.tls.client_hello import offers_session
from connect_proxy_builtin.tls.peer_identity import PeerIdentities
from connect_proxy_builtin.tls.sessions import SessionStore
from connect_proxy_builtin.tls.standard_session import StandardSession, made, standard_channel
from connect_proxy_builtin.tls.versions import TlsVersions

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of 1.3 are all good."""


@dataclass(frozen=True, kw_only=True)
class TlsGeneration:
    """Everything that belongs to one leaf and one set of roots."""

    number: int
    server: ssl.SSLContext
    client: ssl.SSLContext
    identities: PeerIdentities
    valid_before: float
    sessions: SessionStore = field(default_factory=SessionStore, repr=False)
    """Of this generation's client context."""

    def accepted(self, sock: socket.socket, *, hello: memoryview) -> TlsChannel:
        """A caller's connection. *hello*: what it said first; the session has still to be told."""
        return standard_channel(sock, functools.partial(self.answer, resuming=offers_session(hello)))

    def dialled(self, sock: socket.socket, *, resume: Any) -> TlsChannel:
        """A connection to an instance. *resume*: of this generation's sessions, or None."""
        return standard_channel(sock, functools.partial(self.call, resume=resume))

    def answer(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, resuming: bool
    ) -> StandardSession:
        """A server's session. *resuming*: the caller offers a ticket and needs no other one.

        Writing a ticket costs as much as half a resumed handshake. How many are written is taken from
        the context when the session is made, and can be chosen nowhere else.
        """
        self.server.num_tickets = 0 if resuming else 1
        return made(self.server.wrap_bio(incoming, outgoing, server_side=True))

    def call(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, resume: ssl.SSLSession | None
    ) -> StandardSession:
        """A client's session."""
        return made(self.client.wrap_bio(incoming, outgoing, session=resume))

    @property
    def expired(self) -> bool:
        """Whether the leaf's time is over: it must not be shown to anybody any more."""
        return self.valid_before <= time.time()


def tls_generation(number: int, material: TlsMaterial) -> TlsGeneration:
    """Contexts from *material*. Raises ConfigurationError if certificate, key and roots are unusable."""
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False  # the SPIFFE URI is checked instead: peer_identity
        for context in (server, client):
            _restrict(context, material.versions)
            context.load_verify_locations(cadata=material.roots_pem)
            _load_leaf(context, material)
    except (ssl.SSLError, ValueError) as exc:
        # OpenSSL's text names functions and reasons, never key material.
        message = f"the certificates for {material.identity!r} cannot be used: {exc}"
        raise ConfigurationError(message) from exc
    return TlsGeneration(
        number=number,
        server=server,
        client=client,
        identities=PeerIdentities(material.trust_domain),
        valid_before=material.valid_before,
    )


def _restrict(context: ssl.SSLContext, versions: TlsVersions) -> None:
    context.sslobject_class = StandardSession
    context.minimum_version = ssl.TLSVersion(versions.minimum)
    context.maximum_version = ssl.TLSVersion(versions.maximum)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_leaf(context: ssl.SSLContext, material: TlsMaterial) -> None:
    """The ``ssl`` module reads keys from paths only: an anonymous file in memory where there is one."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        _load_from_memory(context, material)
    else:
        load_from_encrypted_file(context, material)


def _load_from_memory(context: ssl.SSLContext, material: TlsMaterial) -> None:
    descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "w") as file:
            file.write(f"{material.certificate_pem}\n{material.private_key.reveal()}\n")
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def load_from_encrypted_file(context: ssl.SSLContext, material: TlsMaterial) -> None:
    """A 0600 file, its key encrypted with a password that is never written, gone right after."""
    from cryptography.hazmat.primitives import serialization

    password = secrets.token_hex(32).encode()
    key = serialization.load_pem_private_key(material.private_key.reveal().encode(), password=None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    ).decode()
    descriptor, path = tempfile.mkstemp(prefix="connect-proxy-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{material.certificate_pem}\n{encrypted}")
        context.load_cert_chain(path, password=password)
    finally:
        Path(path).unlink()
