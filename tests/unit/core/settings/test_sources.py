"""The layers, one by one."""

from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.settings.fields import CORE
from connect_proxy.settings.setting import Setting, Source, Sourced
from connect_proxy.settings.sources import defaults, environment, read_settings_file, settings_file

ROWS = (
    Setting(name="proxy-id", env="CONNECT_PROXY_ID", help=""),
    Setting(name="strict", env="STRICT", empty_env_is_unset=False, help=""),
    Setting(name="bootstrap", in_file=False, help=""),
)


def test_each_row_has_a_default() -> None:
    assert set(defaults(CORE)) == {row.name for row in CORE}
    assert defaults(CORE)["backend"] == Sourced("builtin", Source.DEFAULT, "default")


def test_a_variable_knows_its_name() -> None:
    assert environment(ROWS, {"CONNECT_PROXY_ID": "web"}) == {
        "proxy-id": Sourced("web", Source.ENVIRONMENT, "CONNECT_PROXY_ID")
    }


def test_an_empty_variable_is_as_good_as_none_unless_its_row_says_otherwise() -> None:
    assert set(environment(ROWS, {"CONNECT_PROXY_ID": "", "STRICT": ""})) == {"strict"}


def test_a_row_without_a_variable_is_not_read_from_the_environment() -> None:
    assert environment((Setting(name="wait", help=""),), {"": "x", "wait": "1s"}) == {}


def test_a_settings_file_is_toml_whose_keys_are_flags(tmp_path: Path) -> None:
    path = tmp_path / "web.toml"
    path.write_text('proxy-id = "web-sidecar-proxy"\n')
    document = read_settings_file(str(path))
    assert settings_file(ROWS, document, str(path)) == {
        "proxy-id": Sourced("web-sidecar-proxy", Source.FILE, f'the key "proxy-id" of "{path}"')
    }


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("proxyid", 'did you mean "proxy-id"?'),
        ("proxy_id", 'did you mean "proxy-id"?'),
        ("-proxy-id", 'did you mean "proxy-id"?'),
        ("zzz", "keys are the flags' names"),
        ("bootstrap", "only be given as the flag -bootstrap"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(key: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=f'"x.toml" has the .*key "{key}"') as refused:
        settings_file(ROWS, {key: "x"}, "x.toml")
    assert advice in str(refused.value)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'nosuch\.toml" cannot be read: No such file'):
        read_settings_file(str(tmp_path / "nosuch.toml"))


@pytest.mark.parametrize(("content", "problem"), [(b"a = ", "is not TOML"), (b"\xff\xfe", "is not UTF-8")])
def test_a_malformed_settings_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f'bad.toml" {problem}'):
        read_settings_file(str(path))
