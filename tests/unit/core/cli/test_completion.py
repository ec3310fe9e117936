"""What is completed, and that a real bash takes the script."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from connect_proxy.cli.completion import completions, script
from connect_proxy.cli.main import COMMANDS
from support.agents import client_environment

MODULES = {name: verb.module for name, verb in COMMANDS.items()}


def completed(line: str) -> list[str]:
    """The values for the last word of *line*."""
    *args, incomplete = line.split(" ")
    return [item.value for item in completions(args, incomplete, MODULES)]


def test_the_first_word_is_a_command_or_a_backend() -> None:
    assert set(completed("")) >= {*COMMANDS, "builtin", "custom_exec", "envoy"}
    assert completed("back") == ["backends"]
    assert completed("env") == ["envoy"]


def test_flags_are_completed_with_as_many_dashes_as_were_typed() -> None:
    assert completed("-side") == ["-sidecar-for"]
    assert completed("run --side") == ["--sidecar-for"]
    assert "--help" in completed("-")
    assert completed("wait -time") == ["-timeout"]
    assert completed("agent -http-p") == ["-http-port"]


def test_a_setting_that_is_no_flag_is_not_offered() -> None:
    assert completed("-http-a") == ["-http-addr"]


@pytest.mark.parametrize(
    "line", ["envoy -envoy-b", "-backend envoy -envoy-b", "run -backend=envoy -envoy-b"]
)
def test_the_flags_of_the_named_backend_are_completed_too(line: str) -> None:
    assert completed(line) == ["-envoy-binary"]
    assert completed("builtin -envoy-b") == []


def test_values_are_completed() -> None:
    assert completed("-backend cust") == ["custom_exec"]
    assert completed("-backend=cust") == ["-backend=custom_exec"]
    assert completed("-log-level de") == ["DEBUG"]
    assert completed("backends -format j") == ["json"]
    assert completed("backends -format = j") == ["json"]  # as bash splits -format=j
    assert completed("-bootstrap=") == ["-bootstrap=true", "-bootstrap=false"]
    assert completed("completion z") == ["zsh"]


def test_files_and_folders_are_left_to_the_shell() -> None:
    assert [item.type for item in completions(["-token-file"], "/tm", MODULES)] == ["file"]
    assert [item.type for item in completions(["-ca-path"], "/tm", MODULES)] == ["dir"]
    assert [item.type for item in completions(["envoy", "--"], "x", MODULES)] == ["file"]


def test_after_a_boolean_or_an_unknown_flag_nothing_is_offered() -> None:
    assert completed("-bootstrap x") == []
    assert completed("-nosuch x") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_calls_back(shell: str) -> None:
    assert f"_CONNECT_PROXY_COMPLETE={shell}_complete" in script(shell)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
def test_a_real_bash_completes_with_the_script(tmp_path: Path) -> None:
    program = tmp_path / "connect-proxy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m connect_proxy "$@"\n')
    program.chmod(0o755)
    lines = f"""
        PATH={tmp_path}:$PATH
        eval "$(connect-proxy completion bash)"
        COMP_WORDS=(connect-proxy envoy -side) COMP_CWORD=2
        _connect_proxy_completion connect-proxy
        echo "${{COMPREPLY[@]}}"
    """
    outcome = subprocess.run(
        ["bash", "-c", lines], capture_output=True, text=True, env=client_environment(), check=False
    )
    assert outcome.stdout == "-sidecar-for\n", outcome.stderr
