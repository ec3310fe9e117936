"""Envoy's words and environment."""

from __future__ import annotations

import pytest

from connect_proxy_envoy.command_line import child_environment, command_line, delivery
from connect_proxy_envoy.program import EnvoyProgram
from connect_proxy_envoy.version import Version


def _words(*passthrough: str, version: tuple[int, int] = (1, 40)) -> list[str]:
    program = EnvoyProgram(path="/usr/bin/envoy", version=Version(*version))
    return list(command_line(program, passthrough))


def test_the_users_words_come_last_and_unchanged() -> None:
    assert _words("-l", "debug", "--", "") == [
        "/usr/bin/envoy",
        "--config-path",
        "{bootstrap}",
        "--disable-hot-restart",
        "-l",
        "debug",
        "--",
        "",
    ]


@pytest.mark.parametrize("words", [("--restart-epoch", "0"), ("--restart-epoch=1",)])
def test_asking_for_a_restart_epoch_leaves_hot_restart_on(words: tuple[str, ...]) -> None:
    assert "--disable-hot-restart" not in _words(*words)


@pytest.mark.parametrize("words", [("--drain-time-s", "5"), ("--parent-shutdown-time-s=9",)])
def test_asking_for_a_drain_time_does_not_turn_hot_restart_on(words: tuple[str, ...]) -> None:
    assert "--disable-hot-restart" in _words(*words)


def test_disable_hot_restart_is_not_said_twice() -> None:
    assert _words("--disable-hot-restart").count("--disable-hot-restart") == 1


def test_words_of_old_versions_are_used_only_there() -> None:
    assert _words(version=(1, 9))[1:2] == ["--v2-config-only"]
    assert "--max-obj-name-len" in _words(version=(1, 10))
    assert _words("--max-obj-name-len=300", version=(1, 10)).count("--max-obj-name-len") == 0
    assert "--max-obj-name-len" not in _words(version=(1, 11))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((1, 9), "descriptor"),
        ((1, 10), "named_pipe"),
        ((1, 35), "named_pipe"),
        ((1, 36), "descriptor"),
        ((2, 0), "descriptor"),
    ],
)
def test_the_bootstrap_is_delivered_as_the_version_takes_it(
    version: tuple[int, int], expected: str
) -> None:
    assert delivery(Version(*version)) == expected


def test_secrets_are_taken_out_of_the_environment() -> None:
    given = {
        "PATH": "/bin",
        "CONSUL_HTTP_ADDR": "a:1",
        "CONSUL_HTTP_TOKEN": "x",
        "CONSUL_HTTP_AUTH": "x",
        "CONNECT_PROXY_TOKEN": "x",
    }
    assert child_environment(given) == {"PATH": "/bin", "CONSUL_HTTP_ADDR": "a:1"}
