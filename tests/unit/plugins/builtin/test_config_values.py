from __future__ import annotations

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin import config_values


@pytest.mark.parametrize(("raw", "seconds"), [(2500, 2.5), (2500.0, 2.5), ("2500", 2.5), ("", 9), (0, 9)])
def test_milliseconds_are_a_number_or_a_string(raw: object, seconds: float) -> None:
    assert config_values.milliseconds({"x_ms": raw}, "x_ms", default=9, where="w") == seconds


def test_an_absent_key_means_the_default() -> None:
    assert config_values.milliseconds({}, "x_ms", default=9, where="w") == 9


@pytest.mark.parametrize("raw", ["soon", True, [1], -1, "-1", "nan", "inf"])
def test_nonsense_is_an_error_that_names_place_key_and_value(raw: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config_values.number({"x_ms": raw}, "x_ms", where="upstream 'db'")
    assert "upstream 'db'" in str(caught.value)
    assert "x_ms" in str(caught.value)
    assert repr(raw) in str(caught.value)


def test_a_count_is_whole() -> None:
    assert config_values.count({"n": "3"}, "n", where="w") == 3
    with pytest.raises(ConfigurationError, match="whole"):
        config_values.count({"n": 1.5}, "n", where="w")


def test_a_port_is_at_most_65535() -> None:
    assert config_values.port({"p": 65535}, "p", where="w") == 65535
    with pytest.raises(ConfigurationError, match="65535"):
        config_values.port({"p": 65536}, "p", where="w")


def test_a_text_is_a_string() -> None:
    assert config_values.text({}, "a", where="w") == ""
    with pytest.raises(ConfigurationError, match="string"):
        config_values.text({"a": 1}, "a", where="w")


def test_a_socket_mode_is_octal() -> None:
    assert config_values.file_mode("0660", where="w") == 0o660
    assert config_values.file_mode("", where="w") is None


@pytest.mark.parametrize("raw", ["rw", "0999", "77777", "-1"])
def test_another_socket_mode_is_an_error(raw: str) -> None:
    with pytest.raises(ConfigurationError, match="socket mode"):
        config_values.file_mode(raw, where="w")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        (":80", ("127.0.0.1", 80)),
        ("db.local:5432", ("db.local", 5432)),
    ],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert config_values.split_host_port(address, where="w") == parts


@pytest.mark.parametrize("address", ["db", "db:", "db:http", "db:70000", "db:\uff18\uff10"])
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        config_values.split_host_port(address, where="w")
