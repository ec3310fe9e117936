"""What the daemon is told, and what is kept from it."""

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.registration import Registration
from connect_proxy.plugin_api import AgentAccess, ProxyContext, RenderedConfig, Secret
from connect_proxy_custom_exec.environment import (
    REPLACED,
    SECRET_POINTERS,
    daemon_environment,
    proxy_variables,
)

REGISTRATION = Registration(
    id="web-1-sidecar-proxy", name="web-sidecar-proxy", destination_service_name="web"
)


def context(access: AgentAccess | None = None) -> ProxyContext:
    return ProxyContext(registration=REGISTRATION, agent=access or AgentAccess())


def test_without_a_token_the_variable_is_there_and_empty() -> None:
    assert proxy_variables(context()) == {
        "CONNECT_PROXY_ID": "web-1-sidecar-proxy",
        "CONNECT_PROXY_TOKEN": "",
        "CONSUL_HTTP_ADDR": "127.0.0.1:8500",
        "CONSUL_HTTP_SSL": "false",
        "CONSUL_HTTP_SSL_VERIFY": "true",
    }


def test_everything_that_reaches_the_agent_is_told() -> None:
    access = AgentAccess(
        scheme="https",
        host="::1",
        port=8501,
        token=Secret("t0ken"),
        token_file="/run/token",
        http_auth=Secret("user:pass"),
        ca_file="/ca.pem",
        ca_path="/ca.d",
        client_cert="/client.pem",
        client_key="/client.key",
        tls_server_name="server.dc1.consul",
        verify=False,
        namespace="team",
        partition="part",
    )
    assert proxy_variables(context(access)) == {
        "CONNECT_PROXY_ID": "web-1-sidecar-proxy",
        "CONNECT_PROXY_TOKEN": "t0ken",
        "CONSUL_HTTP_ADDR": "[::1]:8501",
        "CONSUL_HTTP_SSL": "true",
        "CONSUL_HTTP_SSL_VERIFY": "false",
        "CONSUL_HTTP_TOKEN": "t0ken",
        "CONSUL_HTTP_TOKEN_FILE": "/run/token",
        "CONSUL_HTTP_AUTH": "user:pass",
        "CONSUL_CACERT": "/ca.pem",
        "CONSUL_CAPATH": "/ca.d",
        "CONSUL_CLIENT_CERT": "/client.pem",
        "CONSUL_CLIENT_KEY": "/client.key",
        "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
        "CONSUL_NAMESPACE": "team",
        "CONSUL_PARTITION": "part",
    }


def test_every_variable_that_can_be_told_replaces_the_callers() -> None:
    access = AgentAccess(
        token=Secret("t"),
        token_file="f",
        http_auth=Secret("a"),
        ca_file="f",
        ca_path="d",
        client_cert="c",
        client_key="k",
        tls_server_name="n",
        namespace="n",
        partition="p",
    )
    assert set(proxy_variables(context(access))) <= REPLACED


def test_a_unix_socket_is_told_as_one() -> None:
    access = AgentAccess(scheme="unix", host="", socket_path="/run/consul.sock")
    assert proxy_variables(context(access))["CONSUL_HTTP_ADDR"] == "unix:///run/consul.sock"


def test_the_callers_contradicting_variables_are_dropped_and_the_others_kept() -> None:
    caller = dict.fromkeys(REPLACED, "stale") | {"PATH": "/bin", "CONSUL_GRPC_ADDR": "127.0.0.1:8502"}
    rendered = RenderedConfig(document={"CONNECT_PROXY_ID": "new"})
    assert daemon_environment(caller, rendered) == {
        "PATH": "/bin",
        "CONSUL_GRPC_ADDR": "127.0.0.1:8502",
        "CONNECT_PROXY_ID": "new",
    }


@pytest.mark.parametrize("document", [b"bytes", {"CONNECT_PROXY_ID": 7}])
def test_a_config_that_is_not_variables_is_refused(document: dict[str, object] | bytes) -> None:
    with pytest.raises(ConfigurationError, match="must map variables to text"):
        daemon_environment({}, RenderedConfig(document=document))


def test_every_secret_is_masked_when_printed() -> None:
    access = AgentAccess(token=Secret("t0ken"), http_auth=Secret("user:pass"))
    document = proxy_variables(context(access))
    masked = RenderedConfig(document=document, secrets=SECRET_POINTERS).masked()
    assert not isinstance(masked, bytes)
    assert {name for name, text in masked.items() if text == "<hidden>"} == {
        "CONNECT_PROXY_TOKEN",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_AUTH",
    }
    assert "t0ken" not in str(masked)
    assert "user:pass" not in str(masked)


def test_an_empty_token_is_shown_as_empty_not_as_hidden() -> None:
    rendered = RenderedConfig(document=proxy_variables(context()), secrets=SECRET_POINTERS)
    masked = rendered.masked()
    assert not isinstance(masked, bytes)
    assert masked["CONNECT_PROXY_TOKEN"] == ""
