"""The words after ``--``: found, refused, explained."""

from pathlib import Path

import pytest

from connect_proxy.errors import MissingProgramError, UsageError
from connect_proxy_custom_exec.command import PERMANENT_EXIT_CODES, daemon_argv, explain_exit


def program(folder: Path, name: str, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("words", [(), ("",)])
def test_no_command_is_a_usage_error_with_an_example(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"-- /usr/local/bin/my-proxy --verbose") as refusal:
        daemon_argv(words, search_path="/bin")
    assert refusal.value.exit_code == 2


def test_the_words_are_handed_over_unchanged(tmp_path: Path) -> None:
    program(tmp_path, "my-proxy")
    words = ("my-proxy", "-l", "", "two words", "--", "$HOME")
    assert daemon_argv(words, search_path=str(tmp_path)) == words


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = str(program(tmp_path, "my-proxy"))
    assert daemon_argv((path,), search_path="") == (path,)


def test_a_program_that_is_not_in_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="'no-such-proxy' is not in PATH") as refusal:
        daemon_argv(("no-such-proxy",), search_path=str(tmp_path))
    assert refusal.value.exit_code == 4


def test_a_program_in_path_without_the_permission_is_named_with_its_folder(tmp_path: Path) -> None:
    path = program(tmp_path, "my-proxy", mode=0o644)
    with pytest.raises(MissingProgramError, match=rf"'{path}' may not be executed"):
        daemon_argv(("my-proxy",), search_path=str(tmp_path))


def test_a_path_that_may_not_be_executed_is_named(tmp_path: Path) -> None:
    path = program(tmp_path, "my-proxy", mode=0o644)
    with pytest.raises(MissingProgramError, match="chmod"):
        daemon_argv((str(path),), search_path=None)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="my-proxy' does not exist"):
        daemon_argv((str(tmp_path / "my-proxy"),), search_path=None)


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="is a directory"):
        daemon_argv((str(tmp_path),), search_path=None)


@pytest.mark.parametrize("status", sorted(PERMANENT_EXIT_CODES))
def test_an_exit_that_means_it_never_ran_is_explained(status: int) -> None:
    assert explain_exit(status).startswith("the command")


@pytest.mark.parametrize("status", [0, 1, 128, -9])
def test_the_programs_own_exit_is_not_explained(status: int) -> None:
    assert explain_exit(status) == ""
