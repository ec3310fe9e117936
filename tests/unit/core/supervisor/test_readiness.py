"""Readiness from outside, against real TLS listeners."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from connect_proxy.mesh.certificates import Root, Roots
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.supervisor.readiness import (
    Readiness,
    public_hosts,
    public_listener_is_ready,
    public_port,
)
from support.ports import free_port

TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"
NOW = datetime.now(UTC)


class Authority:
    """A CA of one root that signs leaves as Consul's does."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(minutes=1))
            .not_valid_after(NOW + timedelta(hours=1))
        )

    @property
    def roots(self) -> Roots:
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return Roots(
            trust_domain=TRUST_DOMAIN,
            active_root_id="a",
            roots=(Root(id="a", name="r", pem=pem, active=True),),
        )

    def server_context(self, uri: str, folder: Path) -> ssl.SSLContext:
        """A listener's side that demands a client certificate, as every sidecar does."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            self._builder(x509.Name([]), key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain, private, roots = folder / "leaf.pem", folder / "key.pem", folder / "roots.pem"
        chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        roots.write_text(self.roots.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, private)
        context.load_verify_locations(roots)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def identity(service: str) -> str:
    return f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/{service}"


def registration(
    port: int, *, address: str = "127.0.0.1", upstreams: tuple[Upstream, ...] = ()
) -> Registration:
    return Registration(
        id="web-sidecar-proxy",
        name="web-sidecar-proxy",
        address=address,
        port=port,
        destination_service_name="web",
        upstreams=upstreams,
    )


async def _close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def probed(
    context: ssl.SSLContext | None,
    roots: Roots,
    *,
    described: Callable[[int], Registration] = registration,
    timeout_s: float = 60.0,
) -> Readiness:
    """Listen, probe once, stop."""

    async def scenario() -> Readiness:
        server = await asyncio.start_server(_close, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await public_listener_is_ready(
                described(port), roots, node_address="127.0.0.1", timeout_s=timeout_s
            )

    return asyncio.run(scenario())


def test_a_listener_that_proves_the_service_is_ready(tmp_path: Path) -> None:
    authority = Authority()
    readiness = probed(authority.server_context(identity("web"), tmp_path), authority.roots)
    assert readiness.ready, readiness.reason
    assert identity("web") in readiness.reason


@pytest.mark.parametrize("service", ["web", "db"])
def test_a_listener_that_speaks_only_tls_1_2_is_judged_alike(tmp_path: Path, service: str) -> None:
    authority = Authority()
    context = authority.server_context(identity(service), tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    readiness = probed(context, authority.roots)
    assert readiness.ready is (service == "web"), readiness.reason
    assert identity(service) in readiness.reason


def test_another_meshs_certificate_is_not_ready_over_tls_1_2(tmp_path: Path) -> None:
    context = Authority().server_context(identity("web"), tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    readiness = probed(context, Authority().roots)
    assert not readiness.ready
    assert "roots do not vouch" in readiness.reason


def test_another_services_identity_is_not_ready(tmp_path: Path) -> None:
    authority = Authority()
    readiness = probed(authority.server_context(identity("db"), tmp_path), authority.roots)
    assert not readiness.ready
    assert identity("db") in readiness.reason
    assert '"web"' in readiness.reason


def test_another_meshs_certificate_is_not_ready(tmp_path: Path) -> None:
    readiness = probed(Authority().server_context(identity("web"), tmp_path), Authority().roots)
    assert not readiness.ready
    assert "roots do not vouch" in readiness.reason


def test_an_identity_of_another_trust_domain_is_not_ready(tmp_path: Path) -> None:
    authority = Authority()
    uri = "spiffe://other.consul/ns/default/dc/dc1/svc/web"
    assert not probed(authority.server_context(uri, tmp_path), authority.roots).ready


def test_a_listener_that_hangs_up_is_not_ready() -> None:
    readiness = probed(None, Authority().roots)
    assert not readiness.ready
    assert "closed the connection" in readiness.reason


def test_a_listener_that_never_answers_is_not_ready() -> None:
    async def scenario() -> Readiness:
        ended = asyncio.Event()

        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ended.wait()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            try:
                return await public_listener_is_ready(
                    registration(port), Authority().roots, node_address="", timeout_s=0.2
                )
            finally:
                ended.set()

    readiness = asyncio.run(scenario())
    assert not readiness.ready
    assert "within 0.2s" in readiness.reason


def test_a_closed_port_is_not_ready(unused_port: int) -> None:
    readiness = asyncio.run(
        public_listener_is_ready(registration(unused_port), Authority().roots, node_address="127.0.0.1")
    )
    assert not readiness.ready
    assert f"127.0.0.1:{unused_port}" in readiness.reason


@pytest.fixture
def unused_port() -> int:
    return free_port()


def test_without_a_public_port_the_first_upstream_has_to_accept(unused_port: int) -> None:
    def client_only(port: int) -> Registration:
        return registration(0, upstreams=(Upstream(destination_name="db", local_bind_port=port),))

    assert probed(None, Authority().roots, described=client_only).ready
    readiness = asyncio.run(
        public_listener_is_ready(client_only(unused_port), Authority().roots, node_address="")
    )
    assert not readiness.ready
    assert 'upstream "db"' in readiness.reason


def test_an_upstream_on_a_unix_socket_has_to_accept(tmp_path: Path) -> None:
    path = str(tmp_path / "db.sock")
    described = registration(0, upstreams=(Upstream(destination_name="db", local_bind_socket_path=path),))

    async def scenario() -> tuple[Readiness, Readiness]:
        before = await public_listener_is_ready(described, Authority().roots, node_address="")
        async with await asyncio.start_unix_server(_close, path):
            after = await public_listener_is_ready(described, Authority().roots, node_address="")
        return before, after

    before, after = asyncio.run(scenario())
    assert (before.ready, after.ready) == (False, True)


def test_with_no_listener_at_all_there_is_nothing_to_wait_for() -> None:
    assert asyncio.run(public_listener_is_ready(registration(0), Authority().roots, node_address="")).ready


@pytest.mark.parametrize(
    ("address", "config", "expected"),
    [
        ("", {}, ("10.0.0.7", "127.0.0.1")),
        ("10.1.1.1", {}, ("10.1.1.1",)),
        ("0.0.0.0", {}, ("127.0.0.1",)),
        ("::", {}, ("::1",)),
        ("[::]", {}, ("::1",)),
        ("10.1.1.1", {"bind_address": "0.0.0.0"}, ("127.0.0.1",)),
        ("web.example", {}, ("web.example",)),
    ],
)
def test_the_listener_is_dialled_where_it_binds(
    address: str, config: dict[str, str], expected: tuple[str, ...]
) -> None:
    described = Registration(id="p", name="p", address=address, config=config)
    assert public_hosts(described, node_address="10.0.0.7") == expected


def test_a_bind_port_in_the_config_beats_the_registered_port() -> None:
    assert public_port(Registration(id="p", name="p", port=1, config={"bind_port": "2"})) == 2
    assert public_port(Registration(id="p", name="p", port=1, config={"bind_port": "x"})) == 1
    assert public_port(Registration(id="p", name="p", port=1)) == 1


def test_before_consul_has_a_root_nothing_is_ready() -> None:
    roots = Roots(trust_domain=TRUST_DOMAIN, active_root_id="", roots=())
    readiness = asyncio.run(public_listener_is_ready(registration(1), roots, node_address=""))
    assert (readiness.ready, readiness.reason) == (False, "Consul has no CA root yet")
