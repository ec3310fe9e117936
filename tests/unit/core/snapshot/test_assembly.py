from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from connect_proxy.mesh.certificates import Leaf, Root, Roots
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.secret import Secret
from connect_proxy.snapshot.assembly import IntentionsPart, Parts, assemble
from connect_proxy.snapshot.snapshot import ProxySnapshot, RegistrationState

DB = Upstream(destination_name="db", local_bind_port=9191)
CACHE = Upstream(destination_name="cache", local_bind_port=9192)


def registration(*upstreams: Upstream, service: str = "web") -> Registration:
    return Registration(id="p", name="p", destination_service_name=service, upstreams=upstreams)


def roots(name: str = "r") -> Roots:
    return Roots(
        trust_domain="t.consul",
        active_root_id=name,
        roots=(Root(id=name, name=name, pem="PEM", active=True),),
    )


def leaf(serial: str = "08") -> Leaf:
    return Leaf(
        service="web",
        uri="spiffe://t.consul/ns/default/dc/dc1/svc/web",
        serial=serial,
        certificate_pem="PEM",
        private_key=Secret("KEY"),
        valid_after=datetime(2030, 1, 1, tzinfo=UTC),
        valid_before=datetime(2030, 1, 4, tzinfo=UTC),
    )


def intentions(*sources: str, index: int = 1) -> IntentionsPart:
    rules = tuple(Intention(source_name=name, destination_name="web", allow=True) for name in sources)
    return IntentionsPart(intentions=rules, default_allow=False, index=index)


def endpoint(port: int = 1) -> Endpoint:
    return Endpoint(
        node="n",
        service_id="db",
        address="127.0.0.1",
        port=port,
        datacenter="dc1",
        destination_service="db",
    )


def complete(*upstreams: Upstream) -> Parts:
    parts = Parts(registration=registration(*upstreams))
    return parts.with_roots(roots()).with_leaf(leaf()).with_intentions(intentions("api"))


def delivered(parts: Parts, previous: ProxySnapshot | None = None) -> ProxySnapshot:
    snapshot = assemble(parts, previous=previous)
    assert snapshot is not None
    return snapshot


def test_nothing_is_delivered_before_roots_leaf_and_intentions_are_known() -> None:
    whole = complete()
    for missing in (
        replace(whole, roots=None),
        replace(whole, leaf=None),
        replace(whole, intentions=None),
    ):
        assert assemble(missing, previous=None) is None


def test_the_first_snapshot_has_generation_1() -> None:
    assert delivered(complete()).generation == 1


def test_an_upstream_without_an_answer_is_there_but_not_known() -> None:
    snapshot = delivered(complete(DB))
    assert not snapshot.endpoints["db"].known
    assert snapshot.endpoints["db"].endpoints == ()


def test_an_upstream_that_was_answered_is_known_even_when_it_is_empty() -> None:
    assert delivered(complete(DB).with_endpoints("db", ())).endpoints["db"].known


def test_without_a_change_the_same_snapshot_is_given() -> None:
    parts = complete(DB).with_endpoints("db", (endpoint(),))
    first = delivered(parts)
    again = parts.with_roots(roots()).with_leaf(leaf()).with_intentions(intentions("api"))
    again = again.with_registration(registration(DB)).with_endpoints("db", (endpoint(),))
    assert delivered(again, first) is first


def test_a_change_gives_the_next_generation_and_keeps_the_other_parts() -> None:
    parts = complete(DB).with_endpoints("db", (endpoint(),))
    first = delivered(parts)
    second = delivered(parts.with_leaf(leaf("09")), first)
    assert second.generation == 2
    assert second.leaf.serial == "09"
    for part in ("registration", "roots", "intentions", "endpoints"):
        assert getattr(second, part) is getattr(first, part)


def test_endpoints_of_other_upstreams_stay_the_same_objects() -> None:
    parts = complete(DB, CACHE).with_endpoints("db", (endpoint(),))
    first = delivered(parts)
    second = delivered(parts.with_endpoints("cache", (endpoint(2),)), first)
    assert second.endpoints["db"] is first.endpoints["db"]
    assert second.endpoints["cache"].endpoints == (endpoint(2),)


def test_upstreams_follow_the_registration() -> None:
    parts = complete(DB).with_endpoints("db", (endpoint(),))
    parts = parts.with_registration(registration(CACHE))
    assert list(delivered(parts).endpoints) == ["cache"]
    back = delivered(parts.with_registration(registration(DB)))
    assert not back.endpoints["db"].known


def test_a_vanished_registration_is_told_and_stays_in_force() -> None:
    parts = complete(DB)
    first = delivered(parts)
    second = delivered(parts.unregistered(), first)
    assert second.registration_state is RegistrationState.UNREGISTERED
    assert second.registration is first.registration
    third = delivered(parts.unregistered().with_registration(registration(DB)), second)
    assert third.registration_state is RegistrationState.REGISTERED


def test_a_proxy_that_stands_for_another_service_waits_for_its_leaf_and_intentions() -> None:
    first = delivered(complete())
    parts = complete().with_registration(registration(service="other"))
    with_leaf, with_intentions = parts.with_leaf(leaf("0a")), parts.with_intentions(intentions())
    for incomplete in (parts, with_leaf, with_intentions):
        assert delivered(incomplete, first) is first
    parts = with_leaf.with_intentions(intentions())
    assert delivered(parts, first).registration.destination_service_name == "other"


def test_any_change_of_the_intentions_raises_their_generation() -> None:
    first = delivered(complete())
    changes: Mapping[str, IntentionsPart] = {
        "another rule": intentions("api", "db"),
        "another index": intentions("api", index=2),
        "another default": replace(intentions("api"), default_allow=True),
    }
    for found in changes.values():
        second = delivered(complete().with_intentions(found), first)
        assert second.intentions_generation == first.intentions_generation + 1
        assert second.generation == first.generation + 1


def test_the_same_intentions_under_a_new_index_stay_the_same_object() -> None:
    parts = complete()
    first = delivered(parts)
    assert (
        delivered(parts.with_intentions(intentions("api", index=9)), first).intentions is first.intentions
    )
