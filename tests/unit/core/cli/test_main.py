"""Commands are found, errors become exit codes."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from connect_proxy import errors
from connect_proxy.cli import main as cli
from connect_proxy.cli.main import COMMANDS, as_backend, dispatch, main
from support.agents import client_environment
from support.processes import Program, run

HEAVY = (
    "asyncio",
    "click",
    "cryptography",
    "grpc",
    "httpx",
    "importlib_metadata",
    "lark",
    "pluggy",
    "starlette",
)


def connect_proxy(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return run([sys.executable, "-m", "connect_proxy", *words], env=client_environment(**variables))


@pytest.mark.parametrize("word", ["--help", "-help", "-h"])
def test_the_overview_names_every_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    page = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in page] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: connect-proxy {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "-nosuch"]) == 2
    assert 'unknown flag "-nosuch"' in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_module_has_its_rows(name: str) -> None:
    module = import_module(COMMANDS[name].module)
    assert all(row.help.endswith(".") for row in module.ROWS)


def test_the_help_is_printed_without_anything_heavy() -> None:
    code = (
        "import sys; from connect_proxy.cli.main import main; code = main(['--help']);"
        f" sys.exit(code or ', '.join(set(sys.modules) & set({HEAVY!r})) or None)"
    )
    outcome = run([sys.executable, "-c", code], env=client_environment())
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_versions_are_printed_without_http_cryptography_or_click() -> None:
    code = (
        "import sys; from connect_proxy.cli.main import main; code = main(['--version']);"
        " heavy = {'click', 'cryptography', 'grpc', 'httpx', 'starlette'};"
        " sys.exit(code or ', '.join(set(sys.modules) & heavy) or None)"
    )
    outcome = run([sys.executable, "-c", code], env=client_environment())
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("connect-proxy ")


def test_no_command_means_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECT_PROXY_ID", "CONNECT_SIDECAR_FOR"):
        monkeypatch.delenv(name, raising=False)
    outcome = connect_proxy()
    assert outcome.returncode == 2
    assert "give -sidecar-for SERVICE-ID or -proxy-id PROXY-ID" in outcome.stderr


def test_the_name_of_a_backend_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_backend("envoy", ["-sidecar-for", "web"]) == ["-backend", "envoy", "-sidecar-for", "web"]
    assert main(["envoy", "--help"]) == 0
    assert "Options of the backend envoy:" in capsys.readouterr().out


def test_a_backends_name_and_another_backend_contradict_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["envoy", "-backend", "builtin"]) == 2
    assert '"envoy" and "-backend builtin" contradict each other' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "hint"), [("bakends", 'did you mean "backends"?'), ("envoi", 'did you mean "envoy"?')]
)
def test_a_word_that_is_neither_names_all_and_the_nearest(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f'connect-proxy: "{word}" is neither a command (run, agent, ')
    assert "builtin, custom_exec, envoy" in said
    assert hint in said


def test_an_unknown_backend_names_the_known_ones_and_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--backend", "envoi", "-sidecar-for", "web"]) == 2
    said = capsys.readouterr().err
    assert "builtin, custom_exec, envoy" in said
    assert "did you mean 'envoy'?" in said


ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ConnectProxyError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_ends_with_its_code_and_one_line_without_a_traceback(
    kind: type[errors.ConnectProxyError],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(words: Sequence[str]) -> int:
        error = kind.__new__(kind)
        Exception.__init__(error, "what failed")
        raise error

    monkeypatch.setattr(cli, "dispatch", fail)
    assert main([]) == kind.exit_code
    assert capsys.readouterr().err.endswith("what failed\n")


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: Sequence[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "dispatch", fail)
    with pytest.raises(ZeroDivisionError):
        main([])


def test_an_interrupt_ends_quietly_with_130(tmp_path: Path) -> None:
    # The agent is away and stays away: the program waits for it until it is interrupted.
    words = ["-sidecar-for", "web", "-wait", "1h", "-http-addr", "127.0.0.1:1"]
    argv = [sys.executable, "-m", "connect_proxy", *words]
    with Program(argv, folder=tmp_path, env=client_environment()) as program:
        program.wait_for_output("waiting up to")
        assert program.end(signal.SIGINT) == 130
        assert "Traceback" not in program.output


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        outcome = subprocess.run(
            [sys.executable, "-m", "connect_proxy", "--help"],
            stdout=gone,
            stderr=subprocess.PIPE,
            env=client_environment(),
            check=False,
        )
    assert (outcome.returncode, outcome.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_standard_stream_that_is_closed_is_no_error(descriptor: int) -> None:
    outcome = subprocess.run(
        ["sh", "-c", f'exec "$@" {descriptor}>&-', "sh", sys.executable, "-m", "connect_proxy", "backends"],
        capture_output=True,
        text=True,
        env=client_environment(),
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert ("builtin" in outcome.stdout) is (descriptor != 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_disk_is_told_in_a_line() -> None:
    with open("/dev/full", "wb") as full:
        outcome = subprocess.run(
            [sys.executable, "-m", "connect_proxy", "backends"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=client_environment(),
            check=False,
        )
    said = "connect-proxy: cannot write: No space left on device; free disk space\n"
    assert (outcome.returncode, outcome.stderr) == (1, said)


def test_dispatch_hands_on_what_follows_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def execute(name: str, words: Sequence[str]) -> int:
        seen.append((name, list(words)))
        return 0

    monkeypatch.setattr(cli, "execute", execute)
    for words in (["wait", "-x"], ["--version", "-format", "json"], ["-x", "wait"], []):
        dispatch(words)
    assert seen == [
        ("wait", ["-x"]),
        ("version", ["-format", "json"]),
        ("run", ["-x", "wait"]),
        ("run", []),
    ]


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        (["-sidecar-fro", "web"], {}, 2, 'unknown flag "-sidecar-fro"; did you mean "-sidecar-for"?'),
        (["-sidecar-for"], {}, 2, 'flag "-sidecar-for" needs a value'),
        (["-sidecar-for", "web", "-wait", "soon"], {}, 2, '-wait is "soon": not a duration'),
        (["-sidecar-for", "web", "extra"], {}, 2, 'does not take the word "extra"'),
        (["-sidecar-for", "web", "-bootstrap=maybe"], {}, 2, "not a boolean"),
        (["-http-auth", "me:secret"], {}, 2, "set it by the variable CONSUL_HTTP_AUTH"),
        (
            ["-sidecar-for", "web"],
            {"CONSUL_HTTP_SSL_VERIFY": "maybe"},
            3,
            'CONSUL_HTTP_SSL_VERIFY is "maybe": not a boolean; use one of 1, t,',
        ),
        (["-sidecar-for", "web"], {"CONSUL_CACERT": "/no/such"}, 3, 'CONSUL_CACERT is "/no/such"'),
        (
            ["-sidecar-for", "web", "-token-file", "/no/such"],
            {},
            3,
            '"/no/such" (-token-file) cannot be read',
        ),
        (["-sidecar-for", "web", "-client-cert", "/x"], {}, 3, "there is no client-key"),
        (
            ["-sidecar-for", "web", "-settings", "/no/such"],
            {},
            3,
            'the settings file "/no/such" cannot be read',
        ),
        (["-sidecar-for", "web", "-http-addr", "127.0.0.1:1"], {}, 1, "127.0.0.1:1"),
        (
            ["wait", "-sidecar-for", "web", "-http-addr", "127.0.0.1:1", "-timeout", "50ms"],
            {},
            5,
            "not ready",
        ),
        (["-sidecar-for", "web"], {"CONSUL_HTTP_ADDR": "ftp://x"}, 3, 'unknown scheme "ftp"'),
        (["agent"], {}, 2, "connect-proxy agent -dev"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_ends_with_one_clear_message_and_the_right_code(
    words: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    outcome = connect_proxy(*words, **variables)
    assert outcome.returncode == code
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert [line for line in outcome.stderr.splitlines() if line.startswith("connect-proxy: ")]
    assert "Traceback" not in outcome.stderr
    assert "secret" not in outcome.stderr
