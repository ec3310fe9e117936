"""Whether a sidecar is ready, seen from outside: by its listeners alone, whatever moves the bytes."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from connect_proxy.mesh.certificates import Roots
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.mesh.spiffe import NotServiceIdentityError, parse_service_identity
from connect_proxy.supervisor.clear_handshake import certificate_in_the_clear


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """What a probe found."""

    ready: bool
    reason: str
    """What was seen, or what is missing; one clause, without a full stop."""


async def public_listener_is_ready(
    registration: Registration, roots: Roots, *, node_address: str, timeout_s: float = 3.0
) -> Readiness:
    """Whether the public listener shows a certificate that proves the service's identity.

    The certificate must chain to *roots* and carry the service's SPIFFE URI. A registration
    without a public port is ready when its first upstream accepts; with no listener at all there
    is nothing to wait for. Never raises for what the peer does: the reason says it.
    """
    port = public_port(registration)
    if port and not roots.roots:
        return Readiness(ready=False, reason="Consul has no CA root yet")
    if port:
        failures = []
        for host in public_hosts(registration, node_address=node_address):
            readiness = await _public_answer(host, port, registration, roots, timeout_s)
            if readiness.ready:
                return readiness
            failures.append(readiness.reason)
        return Readiness(ready=False, reason="; ".join(failures))
    if registration.upstreams:
        return await _upstream_accepts(registration.upstreams[0], timeout_s)
    return Readiness(ready=True, reason="it has no listener")


def public_port(registration: Registration) -> int:
    """Where the public listener is: the config's ``bind_port`` if set, else the registered port."""
    try:
        return int(registration.config.get("bind_port") or registration.port)
    except (TypeError, ValueError):
        return registration.port


def public_hosts(registration: Registration, *, node_address: str) -> tuple[str, ...]:
    """Addresses to try, in order: what it binds, as one dials it from the same host.

    Without an address of its own a sidecar binds all addresses, the node's among them.
    """
    bound = str(registration.config.get("bind_address") or registration.address)
    wanted = (bound,) if bound else (node_address, "127.0.0.1")
    return tuple(dict.fromkeys(_dialled(host) for host in wanted if host))


def _dialled(host: str) -> str:
    """Loopback for "all addresses" (0.0.0.0, ::), else *host* without brackets."""
    bare = host.strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        return bare
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return bare


async def _public_answer(
    host: str, port: int, registration: Registration, roots: Roots, timeout_s: float
) -> Readiness:
    where = f"the public listener at {_joined(host, port)}"
    try:
        async with asyncio.timeout(timeout_s):
            uris = await _uris_shown(host, port, roots)
    except TimeoutError:
        return Readiness(ready=False, reason=f"{where} did not answer within {timeout_s:g}s")
    except ssl.SSLCertVerificationError as exc:
        reason = f"{where} shows a certificate that Consul's roots do not vouch for: {exc.verify_message}"
        return Readiness(ready=False, reason=reason)
    except ssl.SSLError as exc:
        return Readiness(ready=False, reason=f"{where} does not complete TLS: {exc.reason or exc}")
    except (BrokenPipeError, ConnectionResetError):
        return Readiness(ready=False, reason=f"{where} closed the connection during the handshake")
    except OSError as exc:
        return Readiness(ready=False, reason=f"{where} does not accept: {_refusal(exc)}")
    return _judged(where, uris, registration, roots)


def _judged(where: str, uris: tuple[str, ...], registration: Registration, roots: Roots) -> Readiness:
    """Whether one of *uris* is the identity of the registration's service in this mesh."""
    for uri in uris:
        with suppress(NotServiceIdentityError):
            identity = parse_service_identity(uri)
            if (identity.trust_domain, identity.namespace, identity.service) == (
                roots.trust_domain.lower(),
                registration.namespace,
                registration.destination_service_name,
            ):
                return Readiness(ready=True, reason=f"{where} proves {uri}")
    shown = ", ".join(uris) or "no URI"
    wanted = registration.destination_service_name
    return Readiness(ready=False, reason=f'{where} proves {shown}, not the service "{wanted}"')


async def _uris_shown(host: str, port: int, roots: Roots) -> tuple[str, ...]:
    """The URIs of the server's certificate, once its side of the handshake is verified.

    The server shows its certificate before a client has to show its own. Our answer to that flight
    is never sent, so the listener authorises nothing and no application sees a connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # identities in the mesh are SPIFFE URIs: compared by the caller
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=roots.pem)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    reader, writer = await asyncio.open_connection(host, port)
    seen = b""
    try:
        while not _handshake_is_done(tls):
            if in_the_clear := certificate_in_the_clear(seen):
                return _uris(in_the_clear)
            writer.write(outgoing.read())
            await writer.drain()
            received = await reader.read(65536)
            if not received:
                raise ConnectionResetError
            incoming.write(received)
            seen += received
    finally:
        writer.close()
        with suppress(OSError):  # it is being thrown away: how the peer ends it does not matter
            await writer.wait_closed()
    return _uris(tls.getpeercert(binary_form=True) or b"")


def _uris(certificate: bytes) -> tuple[str, ...]:
    """The URIs among the alternative names of a DER certificate that OpenSSL has verified."""
    from cryptography import x509

    try:
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def _handshake_is_done(tls: ssl.SSLObject) -> bool:
    """Go on with the handshake; False: it needs more bytes from the peer."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


async def _upstream_accepts(upstream: Upstream, timeout_s: float) -> Readiness:
    path = upstream.local_bind_socket_path
    where = path or _joined(_dialled(upstream.bind_host), upstream.local_bind_port)
    listener = f'the listener of upstream "{upstream.id}" at {where}'
    try:
        async with asyncio.timeout(timeout_s):
            if path:
                _, writer = await asyncio.open_unix_connection(path)
            else:
                _, writer = await asyncio.open_connection(
                    _dialled(upstream.bind_host), upstream.local_bind_port
                )
    except TimeoutError:
        return Readiness(ready=False, reason=f"{listener} did not answer within {timeout_s:g}s")
    except OSError as exc:
        return Readiness(ready=False, reason=f"{listener} does not accept: {_refusal(exc)}")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Readiness(ready=True, reason=f"{listener} accepts")


def _refusal(error: OSError) -> str:
    """The kernel's words: asyncio puts the address, which is known, in their place."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
