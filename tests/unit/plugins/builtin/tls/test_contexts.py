from __future__ import annotations

import dataclasses
import os
import ssl
import tempfile
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.secret import Secret
from connect_proxy_builtin.policy import TlsMaterial, tls_material
from connect_proxy_builtin.tls.contexts import TlsGeneration, load_from_encrypted_file, tls_generation
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import Identity, MeshCa


def material(ca: MeshCa, identity: Identity | None = None) -> TlsMaterial:
    return tls_material(leaf_of(identity or ca.leaf("web"), "web"), roots_of(ca))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Server and client once both are through. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server),
    )
    left = list(sides)
    for _ in range(10):
        for side in list(left):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            left.remove(side)
        if not left:
            return sides
    message = "the handshake does not end"
    raise AssertionError(message)


def test_both_sides_prove_themselves(mesh_ca: MeshCa) -> None:
    generation = tls_generation(1, material(mesh_ca))
    server, client = handshake(generation.server, generation.client)
    assert server.getpeercert(binary_form=True)
    assert client.getpeercert(binary_form=True)
    assert client.version() == "TLSv1.3"


def test_tls_1_2_still_works_and_nothing_older(mesh_ca: MeshCa) -> None:
    generation = tls_generation(1, material(mesh_ca))
    generation.client.maximum_version = ssl.TLSVersion.TLSv1_2
    _, client = handshake(generation.server, generation.client)
    assert client.version() == "TLSv1.2"
    assert generation.server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_peer_under_another_authority_is_refused(mesh_ca: MeshCa) -> None:
    ours, theirs = tls_generation(1, material(mesh_ca)), tls_generation(1, material(MeshCa()))
    with pytest.raises(ssl.SSLError):
        handshake(ours.server, theirs.client)
    with pytest.raises(ssl.SSLError):
        handshake(theirs.server, ours.client)


def test_a_caller_without_a_certificate_is_refused(mesh_ca: MeshCa) -> None:
    generation = tls_generation(1, material(mesh_ca))
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.load_verify_locations(cadata=mesh_ca.root_pem)
    with pytest.raises(ssl.SSLError):
        handshake(generation.server, stranger)


def test_old_and_new_root_are_trusted_while_consul_lists_both(mesh_ca: MeshCa) -> None:
    successor = mesh_ca.successor()
    both = roots_of(successor, mesh_ca)
    new = tls_generation(2, tls_material(leaf_of(successor.leaf("web"), "web"), both))
    old = tls_generation(1, tls_material(leaf_of(mesh_ca.leaf("web"), "web"), both))
    handshake(new.server, old.client)
    handshake(old.server, new.client)


def test_a_root_that_consul_dropped_is_not_trusted_any_more(mesh_ca: MeshCa) -> None:
    successor = mesh_ca.successor()
    new = tls_generation(2, material(successor))
    with pytest.raises(ssl.SSLError):
        handshake(new.server, tls_generation(1, material(mesh_ca)).client)


def test_a_leaf_that_comes_with_its_intermediate_chains_to_the_old_root(mesh_ca: MeshCa) -> None:
    successor = mesh_ca.successor()
    leaf = successor.issue([successor.uri("web")], name="web", intermediates=mesh_ca.cross_sign(successor))
    rotated = tls_generation(2, tls_material(leaf_of(leaf, "web"), roots_of(successor, mesh_ca)))
    behind = tls_generation(1, material(mesh_ca))  # has not heard of the new root yet
    with pytest.raises(ssl.SSLError):
        handshake(rotated.server, tls_generation(1, material(MeshCa())).client)
    handshake_one_way(behind, rotated)


def handshake_one_way(client: TlsGeneration, server: TlsGeneration) -> None:
    """The client believes the server; whether the server believes the client is not asked."""
    server.server.verify_mode = ssl.CERT_NONE
    handshake(server.server, client.client)


@pytest.mark.parametrize(
    "flaw",
    [
        {"certificate_pem": "nonsense"},
        {"private_key": Secret("nonsense")},
        {"roots_pem": "nonsense"},
        {"roots_pem": ""},
    ],
)
def test_unusable_material_is_an_error_without_the_key(mesh_ca: MeshCa, flaw: dict[str, object]) -> None:
    good = material(mesh_ca)
    with pytest.raises(ConfigurationError) as caught:
        tls_generation(1, dataclasses.replace(good, **flaw))  # type: ignore[arg-type]
    assert good.identity in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


def test_a_key_that_does_not_belong_to_the_certificate_is_an_error(mesh_ca: MeshCa) -> None:
    other = Secret(mesh_ca.leaf("web").private_key_pem)
    with pytest.raises(ConfigurationError):
        tls_generation(1, dataclasses.replace(material(mesh_ca), private_key=other))


def test_loading_a_leaf_leaves_no_file_and_no_descriptor(
    mesh_ca: MeshCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    tls_generation(1, material(mesh_ca))
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_anonymous_file_the_key_is_encrypted_and_gone_at_once(
    mesh_ca: MeshCa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[tuple[str, int]] = []

    class Watching(ssl.SSLContext):
        def load_cert_chain(self, certfile, keyfile=None, password=None):  # type: ignore[no-untyped-def]
            seen.append((Path(certfile).read_text(), Path(certfile).stat().st_mode & 0o777))
            super().load_cert_chain(certfile, keyfile, password)

    load_from_encrypted_file(Watching(ssl.PROTOCOL_TLS_SERVER), material(mesh_ca))
    ((text, mode),) = seen
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert "BEGIN EC PRIVATE KEY" not in text
    assert mode == 0o600
    assert list(tmp_path.iterdir()) == []
