"""What the verbs that speak to Consul have in common."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.cli.invocation import chosen_proxy, invocation
from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.settings.fields import CORE
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.sources import Layer, defaults


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def flags(**said: str) -> Layer:
    return {
        name.replace("_", "-"): Sourced(value, Source.FLAG, f"-{name.replace('_', '-')}")
        for name, value in said.items()
    }


def test_the_layers_are_read_in_the_order_of_precedence(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('proxy-id = "file"\nnamespace = "file"\npartition = "file"\n')
    call = invocation(
        CORE,
        flags(settings=str(path), proxy_id="flag"),
        {"CONNECT_PROXY_ID": "variable", "CONSUL_NAMESPACE": "variable"},
    )
    assert call.settings.text("proxy-id") == "flag"
    assert (call.access.namespace, call.access.partition) == ("variable", "file")


def test_without_the_flag_no_settings_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "connect-proxy.toml").write_text("broken")
    assert invocation(CORE, {}, {"settings": "x", "CONNECT_PROXY_SETTINGS": "x"}).access.port == 8500


def test_a_settings_file_cannot_name_another(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('settings = "other.toml"\n')
    with pytest.raises(ConfigurationError, match="only be given as the flag -settings"):
        invocation(CORE, flags(settings=str(path)), {})


def test_a_token_in_argv_is_warned_of_once_without_showing_it(capsys: pytest.CaptureFixture[str]) -> None:
    call = invocation(CORE, flags(token="4711-abcd"), {})
    said = capsys.readouterr().err
    assert call.access.token.reveal() == "4711-abcd"
    assert said.count("every user of this host can read it") == 1
    assert "4711" not in said


def test_a_token_from_elsewhere_is_not_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert invocation(CORE, {}, {"CONSUL_HTTP_TOKEN": "4711"}).access.token.reveal() == "4711"
    assert capsys.readouterr().err == ""


def test_verification_that_is_off_is_warned_of_where_tls_is_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    variables = {"CONSUL_HTTP_SSL_VERIFY": "false"}
    invocation(CORE, flags(http_addr="http://127.0.0.1:1"), variables)
    assert capsys.readouterr().err == ""
    invocation(CORE, flags(http_addr="https://127.0.0.1:1"), variables)
    assert "not checked (CONSUL_HTTP_SSL_VERIFY)" in capsys.readouterr().err


def test_the_logs_follow_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    invocation(CORE, flags(log_level="debug", log_json="true"), {})
    logging.getLogger("connect_proxy.test").debug("x")
    assert '"@message": "x"' in capsys.readouterr().err


def test_an_unknown_level_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match='-log-level is "shout": not known; use one of TRACE, DEBUG, INFO'):
        invocation(CORE, flags(log_level="shout"), {})


def settings(proxy_id: Sourced | None = None, sidecar_for: Sourced | None = None) -> ResolvedSettings:
    said = {"proxy-id": proxy_id, "sidecar-for": sidecar_for}
    return resolve(CORE, (defaults(CORE), {name: value for name, value in said.items() if value}))


def test_one_of_the_two_names_the_proxy() -> None:
    assert chosen_proxy(settings(Sourced("p", Source.FLAG))) == ("p", "")
    assert chosen_proxy(settings(None, Sourced("s", Source.ENVIRONMENT))) == ("", "s")


def test_neither_is_a_usage_error_that_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="give -sidecar-for SERVICE-ID or -proxy-id PROXY-ID"):
        chosen_proxy(settings())


@pytest.mark.parametrize("ours", [Source.FLAG, Source.ENVIRONMENT, Source.FILE])
@pytest.mark.parametrize("theirs", [Source.FLAG, Source.ENVIRONMENT, Source.FILE])
def test_the_proxys_own_id_always_wins_and_what_is_left_aside_is_said(
    ours: Source, theirs: Source, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = chosen_proxy(settings(Sourced("p", ours, "-proxy-id"), Sourced("s", theirs, "-sidecar-for")))
    assert chosen == ("p", "")
    assert caplog.messages == ['-proxy-id "p" is used; -sidecar-for "s" is left aside']
