"""The words after ``--``, and the exits that mean they never ran."""

import pytest

from connect_proxy.errors import UsageError
from connect_proxy_custom_exec.command import PERMANENT_EXIT_CODES, daemon_argv, explain_exit


@pytest.mark.parametrize("words", [(), ("",)])
def test_no_command_is_a_usage_error_with_an_example(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"-- /usr/local/bin/my-proxy --verbose") as refusal:
        daemon_argv(words)
    assert refusal.value.exit_code == 2


def test_the_words_are_handed_over_unchanged() -> None:
    words = ("my-proxy", "-l", "", "two words", "--", "$HOME")
    assert daemon_argv(words) == words


@pytest.mark.parametrize("status", sorted(PERMANENT_EXIT_CODES))
def test_an_exit_that_means_it_never_ran_is_explained(status: int) -> None:
    assert explain_exit(status).startswith("the command")


@pytest.mark.parametrize("status", [0, 1, 128, -9])
def test_the_programs_own_exit_is_not_explained(status: int) -> None:
    assert explain_exit(status) == ""
