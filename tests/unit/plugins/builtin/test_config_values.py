from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("raw", [10**400, "1e400", "9" * 5000])
def test_a_number_beyond_all_bounds_is_an_error(raw: object) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        config_values.number({"key": raw}, "key", where="here")
    with pytest.raises(ConfigurationError, match="no address"):
        config_values.split_host_port("host:" + "9" * 5000, where="here")


@given(JSON_VALUES)
def test_whatever_a_registration_holds_is_read_or_refused_with_a_reason(raw: Any) -> None:
    config = {"key": raw}
    with contextlib.suppress(ConfigurationError):
        assert config_values.milliseconds(config, "key", default=1.0, where="here") >= 0
    with contextlib.suppress(ConfigurationError):
        assert config_values.count(config, "key", where="here") >= 0
    with contextlib.suppress(ConfigurationError):
        assert 0 <= config_values.port(config, "key", where="here") <= 65535
    with contextlib.suppress(ConfigurationError):
        assert isinstance(config_values.text(config, "key", where="here"), str)


@given(st.text(max_size=40) | st.from_regex(r"\[?[0-9a-z:.]*\]?:[0-9]{0,7}", fullmatch=True))
def test_whatever_an_address_is_it_is_read_or_refused_with_a_reason(raw: str) -> None:
    with contextlib.suppress(ConfigurationError):
        host, port = config_values.split_host_port(raw, where="here")
        assert host
        assert 0 <= port <= 65535
    with contextlib.suppress(ConfigurationError):
        mode = config_values.file_mode(raw, where="here")
        assert mode is None or 0 <= mode <= 0o777
