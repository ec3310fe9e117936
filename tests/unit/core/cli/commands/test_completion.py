"""The command that prints the completion script."""

import pytest

from connect_proxy.cli.commands import completion
from connect_proxy.errors import UsageError


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_of_each_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert completion.execute([shell]) == 0
    assert f"{shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_a_usage_error_that_names_the_known_ones(words: list[str]) -> None:
    with pytest.raises(UsageError, match="completion bash or zsh or fish"):
        completion.execute(words)
