"""From command line and files to the agent's options."""

from pathlib import Path

import pytest

from connect_proxy.cli.agent import managed
from connect_proxy.cli.agent.rows import ROWS
from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.secret import Secret
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.sources import defaults


def settings(**flags: object) -> ResolvedSettings:
    layer = {
        name.replace("_", "-"): Sourced(value, Source.FLAG, f"-{name.replace('_', '-')}")
        for name, value in flags.items()
    }
    return resolve(ROWS, (defaults(ROWS), layer))


def test_folders_come_before_files_each_in_order() -> None:
    given = settings(config_file=("f1", "f2"), config_dir=("d1", "d2"))
    assert managed.configured_paths(given) == (Path("d1"), Path("d2"), Path("f1"), Path("f2"))
    assert managed.configured_paths(settings()) == ()


def test_the_data_directory_of_the_flag_wins_over_that_of_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/state")
    files = AgentConfiguration(data_dir="/of/files")
    assert managed.data_directory(settings(data_dir="/of/flag"), files) == Path("/of/flag")
    assert managed.data_directory(settings(), files) == Path("/of/files")
    assert managed.data_directory(settings(), AgentConfiguration()) == Path("/state")


def test_the_level_of_the_files_counts_where_no_flag_says_one() -> None:
    assert managed.log_level(settings(), AgentConfiguration()) == "INFO"
    assert managed.log_level(settings(), AgentConfiguration(log_level="debug")) == "DEBUG"
    assert managed.log_level(settings(), AgentConfiguration(log_level="err")) == "ERROR"
    assert managed.log_level(settings(log_level="WARN"), AgentConfiguration(log_level="debug")) == "WARN"
    with pytest.raises(ConfigurationError, match='log_level of the files is "loud"'):
        managed.log_level(settings(), AgentConfiguration(log_level="loud"))


def test_the_token_of_the_files_counts_where_nobody_gave_one() -> None:
    file = Secret("of the files")
    assert managed.with_token_of_files(AgentAccess(), file).token.reveal() == "of the files"
    own = AgentAccess(token=Secret("own"))
    assert managed.with_token_of_files(own, file) is own
    by_file = AgentAccess(token_file="/token")
    assert managed.with_token_of_files(by_file, file) is by_file


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8510", ("127.0.0.1", 8510)),
        (":8510", ("127.0.0.1", 8510)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:0", ("::1", 0)),
        ("[::1]:8510", ("::1", 8510)),
    ],
)
def test_the_apis_address(text: str, address: tuple[str, int]) -> None:
    assert managed.api_address(settings(api_addr=text)) == address


@pytest.mark.parametrize("text", ["8510", "http://127.0.0.1:1", "host:port", "host", "unix:///path"])
def test_what_is_no_address_of_the_api_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=r'-api-addr is ".*": '):
        managed.api_address(settings(api_addr=text))
