"""The flags of ``consul connect proxy`` that describe a proxy."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import UsageError
from connect_proxy.mesh.registration import Upstream
from connect_proxy.plugin_api import DescribedRegistration, Source, Sourced
from connect_proxy_builtin.described import OPTIONS, described_registration, upstreams


def described(**values: object) -> DescribedRegistration | None:
    options = {row.name: Sourced(row.default, Source.DEFAULT) for row in OPTIONS}
    said = {name.replace("_", "-"): Sourced(value, Source.FLAG) for name, value in values.items()}
    return described_registration({**options, **said})


def test_without_its_flags_nothing_is_described() -> None:
    assert described() is None


def test_a_service_alone_has_an_identity_and_no_public_listener() -> None:
    found = described(service="web", upstream=("db:9191",))
    assert found is not None
    assert found.registration.destination_service_name == "web"
    assert found.registration.port == 0
    assert found.registration.upstreams == (Upstream(destination_name="db", local_bind_port=9191),)
    assert found.definition is None


def test_a_listener_stands_before_the_application() -> None:
    found = described(service="web", listen=":8443", service_addr="127.0.0.1:8080")
    assert found is not None
    registration = found.registration
    assert (registration.address, registration.port) == ("", 8443)
    assert (registration.local_service_address, registration.local_service_port) == ("127.0.0.1", 8080)


def test_a_registered_one_has_consuls_names() -> None:
    found = described(
        service="web", listen="10.0.0.1:0x20fb", service_addr="[::1]:80", register=True, register_id="blue"
    )
    assert found is not None
    assert found.definition == {
        "ID": "web-proxy-blue",
        "Name": "web-proxy",
        "Kind": "connect-proxy",
        "Address": "10.0.0.1",
        "Port": 8443,
        "Proxy": {
            "DestinationServiceName": "web",
            "LocalServiceAddress": "::1",
            "LocalServicePort": 80,
        },
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"service": "web", "listen": ":1"}, "-service-addr"),
        ({"service": "web", "register": True}, "-listen"),
        ({"upstream": ("db:1",)}, "-service NAME"),
        ({"service": "web", "listen": "x", "service_addr": ":1"}, '-listen is "x"'),
        ({"service": "web", "listen": "::1:80", "service_addr": ":1"}, '-listen is "::1:80"'),
        ({"service": "web", "listen": ":70000", "service_addr": ":1"}, "port from 1 to 65535"),
    ],
)
def test_what_does_not_fit_is_said_with_the_remedy(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        described(**values)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("db:9191", Upstream(destination_name="db", local_bind_port=9191)),
        ("db.service:9191", Upstream(destination_name="db", local_bind_port=9191)),
        (
            "near.query:9191",
            Upstream(destination_name="near", destination_type="prepared_query", local_bind_port=9191),
        ),
        (
            "db:[::1]:9191",
            Upstream(destination_name="db", local_bind_address="::1", local_bind_port=9191),
        ),
        (
            "db:127.0.0.2:9191",
            Upstream(destination_name="db", local_bind_address="127.0.0.2", local_bind_port=9191),
        ),
    ],
)
def test_an_upstream_is_name_kind_address_and_port(text: str, wanted: Upstream) -> None:
    assert upstreams([text]) == (wanted,)


@pytest.mark.parametrize("text", ["db", "db:", ":1", "db:x", "db:1:2:3", "db.other:1", "db:0"])
def test_another_text_is_no_upstream(text: str) -> None:
    with pytest.raises(UsageError, match=f'"{text}"'):
        upstreams([text])


def test_of_one_name_the_last_counts_and_names_are_sorted() -> None:
    found = upstreams(["b:1", "a:2", "b:3"])
    assert [(one.destination_name, one.local_bind_port) for one in found] == [("a", 2), ("b", 3)]


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert len(upstreams([text])) == 1
