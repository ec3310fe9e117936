import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.managed.api.rules import ApiRequest, has_managed_proxy, is_clean, proxy_may
from connect_proxy.mesh.registration import Upstream
from support.managed_definitions import managed_proxy

PROXY = managed_proxy(
    "web",
    upstreams=(
        Upstream(destination_name="redis"),
        Upstream(destination_name="near", destination_type="prepared_query"),
    ),
)


def may(path: str, *, method: str = "GET", body: bytes = b"", **params: str | tuple[str, ...]) -> bool:
    many = {name: (value,) if isinstance(value, str) else value for name, value in params.items()}
    return proxy_may(PROXY, ApiRequest(method=method, path=path, params=many, body=body))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/agent/connect/ca/roots",
        "/v1/connect/ca/roots",
        "/v1/agent/connect/ca/leaf/web",
        "/v1/agent/service/web",
        "/v1/agent/service/web-proxy",
        "/v1/health/connect/redis",
        "/v1/catalog/connect/redis",
    ],
)
def test_a_proxy_reads_the_connect_data_of_its_service(path: str) -> None:
    assert may(path)
    assert may(path, method="HEAD")
    assert not may(path, method="PUT")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/agent/connect/ca/leaf/db",
        "/v1/agent/connect/ca/leaf/web/",
        "/v1/agent/service/db-proxy",
        "/v1/agent/services",
        "/v1/agent/self",
        "/v1/connect/intentions",
        "/v1/connect/ca/configuration",
        "/v1/health/connect/",
        "/v1/health/service/redis",
        "/v1/kv/x",
        "/",
    ],
)
def test_it_reads_nothing_else(path: str) -> None:
    assert not may(path)


def test_it_reads_the_intentions_of_its_service_alone() -> None:
    path = "/v1/connect/intentions/match"
    assert may(path, by="destination", name="web")
    assert not may(path, by="destination", name="db")
    assert not may(path, by="destination", name=("web", "db"))
    assert not may(path, by="destination")


def test_it_executes_the_queries_that_are_its_upstreams_for_connect() -> None:
    assert may("/v1/query/near/execute", connect="true")
    assert not may("/v1/query/near/execute")
    assert not may("/v1/query/redis/execute", connect="true")
    assert not may("/v1/query/near", connect="true")


def test_it_has_callers_of_its_service_authorized() -> None:
    path = "/v1/agent/connect/authorize"
    assert may(path, method="POST", body=b'{"Target": "web"}')
    assert not may(path, method="POST", body=b'{"Target": "db"}')
    # Go's decoder takes the last of two spellings, whichever it is.
    assert not may(path, method="POST", body=b'{"Target": "web", "target": "db"}')
    for body in (b"", b"[]", b"{", b'{"Target": null}'):
        assert not may(path, method="POST", body=body)


@given(st.text(st.sampled_from("abwe/.-proxyv1")), st.sampled_from(["PUT", "POST", "DELETE", "PATCH"]))
def test_it_writes_nowhere(path: str, method: str) -> None:
    assert not may(f"/v1/{path}", method=method)


@pytest.mark.parametrize(
    "body",
    [
        {"Connect": {"Proxy": {}}},
        {"connect": {"proxy": {"command": ["x"]}}},
        {"CONNECT": {"pROXY": {}}},
        {"Name": "web", "Connect": {"Native": False, "Proxy": {"ExecMode": "daemon"}}},
    ],
)
def test_a_managed_proxy_is_found_in_any_spelling(body: object) -> None:
    assert has_managed_proxy(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"Connect": {"SidecarService": {}}}',
        b'{"Proxy": {}}',
        b'{"Connect": null}',
    ],
)
def test_nothing_else_is_taken_for_one(body: bytes) -> None:
    assert not has_managed_proxy(body)


@pytest.mark.parametrize(
    ("path", "clean"), [("/v1/kv/a..b", True), ("/v1/../x", False), ("/v1/.", False), ("v1", False)]
)
def test_a_clean_path_does_not_walk(path: str, clean: bool) -> None:
    assert is_clean(path) is clean
