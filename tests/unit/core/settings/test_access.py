"""From settings to access."""

from pathlib import Path

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.secret import Secret
from connect_proxy.settings.access import agent_access
from connect_proxy.settings.fields import CONSUL_API
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.sources import defaults, environment
from connect_proxy.settings.token import TokenChoice


def accessed(variables: dict[str, str], choice: TokenChoice | None = None, **flags: str) -> AgentAccess:
    layers = (
        defaults(CONSUL_API),
        environment(CONSUL_API, variables),
        {
            name.replace("_", "-"): Sourced(text, Source.FLAG, f"-{name.replace('_', '-')}")
            for name, text in flags.items()
        },
    )
    return agent_access(resolve(CONSUL_API, layers), choice or TokenChoice())


def test_by_default_the_local_agent_is_asked_without_tls() -> None:
    assert accessed({}) == AgentAccess()


@pytest.mark.parametrize(
    ("address", "ssl", "url"),
    [
        ("127.0.0.1:8501", "true", "https://127.0.0.1:8501"),
        ("127.0.0.1:8501", "false", "http://127.0.0.1:8501"),
        ("http://127.0.0.1:8501", "true", "http://127.0.0.1:8501"),
        ("https://127.0.0.1:8501", "false", "https://127.0.0.1:8501"),
        ("unix:///run/consul.sock", "true", "unix:///run/consul.sock"),
        ("[::1]:8500", "0", "http://[::1]:8500"),
    ],
)
def test_the_scheme_in_the_address_beats_the_ssl_variable(address: str, ssl: str, url: str) -> None:
    assert accessed({"CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_SSL": ssl}).url == url


def test_what_the_environment_of_a_child_says_leads_to_the_same_agent(tmp_path: Path) -> None:
    certificate = tmp_path / "some.pem"
    certificate.write_text("x")
    choice = TokenChoice(token=Secret("t"))
    first = accessed(
        {
            "CONSUL_HTTP_ADDR": "https://agent.example:8501",
            "CONSUL_HTTP_AUTH": "me:secret",
            "CONSUL_HTTP_SSL_VERIFY": "0",
            "CONSUL_CACERT": str(certificate),
            "CONSUL_CAPATH": str(tmp_path),
            "CONSUL_CLIENT_CERT": str(certificate),
            "CONSUL_CLIENT_KEY": str(certificate),
            "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
            "CONSUL_NAMESPACE": "ns1",
            "CONSUL_PARTITION": "p1",
        },
        choice,
    )
    assert first.verify is False
    assert first.http_auth == Secret("me:secret")
    assert accessed(first.environment(), choice) == first


def test_an_empty_address_flag_means_the_default() -> None:
    assert accessed({"CONSUL_HTTP_ADDR": "10.0.0.1:1"}, http_addr="").url == "http://127.0.0.1:8500"


@pytest.mark.parametrize(
    ("given", "missing"), [("client-cert", "CONSUL_CLIENT_KEY"), ("client-key", "CONSUL_CLIENT_CERT")]
)
def test_a_certificate_without_its_key_is_an_error_and_the_reverse(
    tmp_path: Path, given: str, missing: str
) -> None:
    path = tmp_path / "one.pem"
    path.write_text("x")
    with pytest.raises(ConfigurationError, match=missing) as refused:
        accessed({}, None, **{given.replace("-", "_"): str(path)})
    assert f'-{given} is "{path}"' in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "others"),
    [
        ("CONSUL_CACERT", {}),
        ("CONSUL_CAPATH", {}),
        ("CONSUL_CLIENT_CERT", {"CONSUL_CLIENT_KEY": "/dev/null"}),
        ("CONSUL_CLIENT_KEY", {"CONSUL_CLIENT_CERT": "/dev/null"}),
    ],
)
def test_a_missing_certificate_file_is_named_also_without_tls(
    variable: str, others: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match="No such file") as refused:
        accessed({variable: "/no/such.pem", **others})
    assert f'{variable} is "/no/such.pem"' in str(refused.value)


def test_a_malformed_address_names_its_source_its_value_and_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r'CONSUL_HTTP_ADDR is "ftp://x".*use host:port'):
        accessed({"CONSUL_HTTP_ADDR": "ftp://x"})
    with pytest.raises(UsageError, match='-http-addr is "ftp://x"'):
        accessed({}, http_addr="ftp://x")


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        accessed({"CONSUL_HTTP_ADDR": "http://me:secret@host"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("server.dc1.consul", "server.dc1.consul"),
        ("server.dc1.consul:8501", "server.dc1.consul"),
        ("::1", "::1"),
    ],
)
def test_a_port_in_the_server_name_is_dropped(text: str, name: str) -> None:
    assert accessed({"CONSUL_TLS_SERVER_NAME": text}).tls_server_name == name


def test_the_token_and_its_file_are_handed_on() -> None:
    access = accessed({}, TokenChoice(token=Secret("t"), file="/run/token"))
    assert (access.token, access.token_file) == (Secret("t"), "/run/token")
