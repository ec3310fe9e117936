"""The one place that chooses which OpenSSL does the work: by measurement (docs/performance.md).

The one that ``cryptography`` carries encrypts twice as fast and shakes hands in a third of the time of
the one that Python 3.11 comes with on Debian 12. Where it cannot be had, :mod:`ssl` does the same.
"""

from __future__ import annotations

import functools
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin.policy import TlsMaterial
from connect_proxy_builtin.tls.channel import TlsChannel
from connect_proxy_builtin.tls.openssl_contexts import OpenSslContext
from connect_proxy_builtin.tls.openssl_library import Library, bundled
from connect_proxy_builtin.tls.openssl_records import OpenSslRecords
from connect_proxy_builtin.tls.openssl_session import OpenSslError
from connect_proxy_builtin.tls.peer_identity import PeerIdentities
from connect_proxy_builtin.tls.sessions import SessionStore


class Generation(Protocol):
    """Everything that belongs to one leaf and one set of roots, for one thread."""

    @property
    def identities(self) -> PeerIdentities:
        """Says who a peer is."""

    @property
    def sessions(self) -> SessionStore:
        """What can be resumed."""

    @property
    def expired(self) -> bool:
        """Whether the leaf's time is over: it must not be shown to anybody any more."""

    def accepted(self, sock: socket.socket, *, hello: memoryview) -> TlsChannel:
        """A caller's connection. *hello*: what it said first; the session has still to be told."""

    def dialled(self, sock: socket.socket, *, resume: Any) -> TlsChannel:
        """A connection to an instance. *resume*: of this generation's sessions, or None."""


@dataclass(frozen=True, kw_only=True)
class OpenSslGeneration:
    """The same as ``TlsGeneration`` on the bundled OpenSSL."""

    number: int
    server: OpenSslContext
    client: OpenSslContext
    identities: PeerIdentities
    valid_before: float
    sessions: SessionStore = field(default_factory=SessionStore, repr=False)

    @property
    def expired(self) -> bool:
        """Whether the leaf's time is over: it must not be shown to anybody any more."""
        return self.valid_before <= time.time()

    def accepted(self, sock: socket.socket, *, hello: memoryview) -> TlsChannel:
        """A caller's connection."""
        return TlsChannel(sock, self.server.session, buffer=self.server.buffer, records=OpenSslRecords)

    def dialled(self, sock: socket.socket, *, resume: Any) -> TlsChannel:
        """A connection to an instance."""
        wrap = functools.partial(self.client.session, resume=resume)
        return TlsChannel(sock, wrap, buffer=self.client.buffer, records=OpenSslRecords)


def generation(number: int, material: TlsMaterial) -> Generation:
    """On the best engine there is. Raises ConfigurationError if certificate, key and roots are unusable."""
    library = bundled()
    if library is None:
        from connect_proxy_builtin.tls.contexts import tls_generation

        return tls_generation(number, material)
    return openssl_generation(library, number, material)


def openssl_generation(library: Library, number: int, material: TlsMaterial) -> OpenSslGeneration:
    """Contexts from *material*. Raises ConfigurationError if certificate, key and roots are unusable."""
    try:
        server, client = (
            OpenSslContext(library, versions=material.versions, server_side=side) for side in (True, False)
        )
        for context in (server, client):
            context.trust(material.roots_pem)
            context.show(material.certificate_pem, material.private_key)
    except (OpenSslError, ValueError) as exc:
        message = f"the certificates for {material.identity!r} cannot be used: {exc}"
        raise ConfigurationError(message) from exc
    return OpenSslGeneration(
        number=number,
        server=server,
        client=client,
        identities=PeerIdentities(material.trust_domain),
        valid_before=material.valid_before,
    )
