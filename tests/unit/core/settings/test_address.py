"""Every spelling of the agent's address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import MalformedValueError
from connect_proxy.settings.address import AgentAddress, displayed_address, parse_address


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("10.0.0.1:8501", "", "10.0.0.1", 8501),
        ("consul.example", "", "consul.example", 8500),
        (":8500", "", "127.0.0.1", 8500),
        ("[::1]:8501", "", "::1", 8501),
        ("[::1]", "", "::1", 8500),
        ("::1", "", "::1", 8500),
        ("fe80::1%eth0", "", "fe80::1%eth0", 8500),
        ("[fe80::1%eth0]:80", "", "fe80::1%eth0", 80),
        ("http://127.0.0.1:8500", "http", "127.0.0.1", 8500),
        ("https://consul.example:8501", "https", "consul.example", 8501),
        ("https://[::1]:8501", "https", "::1", 8501),
        ("http://consul.example", "http", "consul.example", 80),
        ("https://consul.example/", "https", "consul.example", 443),
        ("HTTPS://consul.example", "https", "consul.example", 443),
    ],
)
def test_the_forms_of_a_network_address(text: str, scheme: str, host: str, port: int) -> None:
    assert parse_address(text) == AgentAddress(scheme=scheme, host=host, port=port)


@pytest.mark.parametrize("path", ["/run/consul.sock", "relative.sock", "/with:colon", "/with://inside"])
def test_after_unix_the_rest_is_a_path(path: str) -> None:
    assert parse_address(f"unix://{path}") == AgentAddress(scheme="unix", socket_path=path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ftp://x", 'unknown scheme "ftp"'),
        ("unix://", "without a path"),
        ("http://user:secret@host:8500", "CONSUL_HTTP_AUTH"),
        ("host:port", 'port "port"'),
        ("host:0", 'port "0"'),
        ("host:65536", 'port "65536"'),
        ("host:", 'port ""'),
        ("host:-1", 'port "-1"'),
        ("http://host/v1", "not an address"),
        ("two words", "not an address"),
        ("[::1", "not an address"),
        ("", "not an address"),
        ("http://", "not an address"),
    ],
)
def test_what_is_no_address_says_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(MalformedValueError, match=problem):
        parse_address(text)


@given(st.text(max_size=30))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        address = parse_address(text)
    except MalformedValueError:
        return
    assert address.socket_path or (address.host and 0 < address.port < 65536)


@given(
    st.sampled_from(["http", "https"]),
    st.ip_addresses().map(str),
    st.integers(1, 65535),
)
def test_what_access_writes_is_read_back(scheme: str, host: str, port: int) -> None:
    access = AgentAccess(scheme=scheme, host=host, port=port)
    assert parse_address(access.url) == AgentAddress(scheme=scheme, host=host, port=port)


@pytest.mark.parametrize("text", ["http://user:secret@host", "user:secret@host:8500"])
def test_a_password_in_the_address_is_not_displayed(text: str) -> None:
    assert "secret" not in displayed_address(text)
    assert "host" in displayed_address(text)


def test_an_address_without_a_password_is_displayed_as_it_is() -> None:
    assert displayed_address("unix:///run/consul.sock") == "unix:///run/consul.sock"
