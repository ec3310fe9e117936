from __future__ import annotations

import asyncio
import socket

import pytest

from connect_proxy.mesh.registration import Upstream
from connect_proxy_builtin.names import Names, look_up, names_in
from connect_proxy_builtin.policy import PlanePolicy, plane_policy
from support.applications import echo_server
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot
from support.mesh_ca import MeshCa, client_context
from support.ports import free_port


def policy(ca: MeshCa, *addresses: str, application: str = "127.0.0.1") -> PlanePolicy:
    upstream = Upstream(destination_name="db", local_bind_port=1)
    behind = [endpoint("db", 1, address=address) for address in addresses]
    return plane_policy(
        first_snapshot(ca, "web", upstreams=[(upstream, behind)], local_service_address=application)
    )


def targets(of: PlanePolicy) -> list[str]:
    return [target.address for target in of.upstreams[0].targets]


def test_addresses_are_left_as_they_are(mesh_ca: MeshCa) -> None:
    plain = policy(mesh_ca, "10.0.0.1", "::1")
    assert list(names_in(plain)) == []
    assert asyncio.run(Names().resolved(plain)) is plain


def test_names_become_addresses(mesh_ca: MeshCa) -> None:
    async def known(name: str) -> str:
        return {"a.local": "10.0.0.1", "app.local": "10.0.0.2"}[name]

    found = asyncio.run(
        Names(known).resolved(policy(mesh_ca, "a.local", "10.9.9.9", application="app.local"))
    )
    assert targets(found) == ["10.0.0.1", "10.9.9.9"]
    assert found.inbound.application.host == "10.0.0.2"


def test_a_name_that_does_not_resolve_any_more_keeps_its_address(
    mesh_ca: MeshCa, caplog: pytest.LogCaptureFixture
) -> None:
    answers = ["10.0.0.1"]

    async def once(_name: str) -> str:
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers.pop()

    async def play() -> None:
        names = Names(once)
        for _ in range(3):
            assert targets(await names.resolved(policy(mesh_ca, "a.local"))) == ["10.0.0.1"]
        assert targets(await names.resolved(policy(mesh_ca, "b.local"))) == ["b.local"]

    asyncio.run(play())
    assert caplog.text.count("'a.local' cannot be resolved") == 1


def test_the_systems_resolver_is_asked() -> None:
    assert asyncio.run(look_up("localhost")) in {"127.0.0.1", "::1"}


def test_an_application_at_localhost_is_reached(mesh_ca: MeshCa) -> None:
    port = free_port()
    with echo_server(asyncio.run(look_up("localhost"))) as application:
        snapshot = first_snapshot(
            mesh_ca,
            "web",
            public_port=port,
            application_port=application.port,
            local_service_address="localhost",
        )
        context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
        with (
            Sidecar(snapshot),
            context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60)) as caller,
        ):
            caller.sendall(b"hello")
            assert caller.recv(100) == b"hello"
