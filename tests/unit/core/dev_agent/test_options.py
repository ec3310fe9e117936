import pytest

from connect_proxy.dev_agent.options import DevAgentOptions, ip_text
from connect_proxy.errors import ConfigurationError


def test_a_unix_socket_is_for_http_alone() -> None:
    options = DevAgentOptions(client="unix:///run/http.sock")
    assert (options.http_socket, options.listener_host) == ("/run/http.sock", "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "address"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), (" ::1 ", "::1")]
)
def test_an_address_is_taken_with_or_without_brackets(text: str, address: str) -> None:
    assert DevAgentOptions(client=text.strip()).listener_host == address == ip_text(text.strip())


def test_a_name_is_no_address() -> None:
    with pytest.raises(ConfigurationError, match="'localhost'"):
        ip_text("localhost")


def test_the_defaults_are_consuls() -> None:
    options = DevAgentOptions()
    assert (options.http_port, options.grpc_port, options.dns_port) == (8500, 8502, 8600)
    assert (options.client, options.datacenter, options.sidecar_ports) == (
        "127.0.0.1",
        "dc1",
        (21000, 21255),
    )
