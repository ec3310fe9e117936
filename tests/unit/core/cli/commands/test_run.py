"""How a run is put together, up to where it starts."""

import logging
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import connect_proxy.backends
import connect_proxy.proxy_run
from connect_proxy.cli.commands import run
from connect_proxy.errors import BackendLoadError, ConfigurationError, UnknownBackendError, UsageError
from connect_proxy.proxy_run import RunRequest
from connect_proxy.settings.setting import Setting, Source, Sourced, Type


class PaintedBackend:
    """A backend with options of its own, as the command line sees one."""

    def __init__(self, *rows: Setting) -> None:
        self.name = "painted"
        self.rows = rows

    def options(self) -> Sequence[Setting]:
        return self.rows


ROWS = (
    Setting(name="painted-colour", env="PAINTED_COLOUR", default="red", help="Which colour."),
    Setting(name="painted-dry", type=Type.BOOLEAN, default=False, help="Whether it is dry."),
)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RunRequest]]:
    """What would have been run, with the backends ``painted`` and ``builtin`` (without options)."""
    made: list[RunRequest] = []

    def load(name: str) -> PaintedBackend:
        if name not in {"painted", "builtin"}:
            raise UnknownBackendError(name)
        return PaintedBackend(*(ROWS if name == "painted" else ()))

    def started(request: RunRequest) -> int:
        made.append(request)
        return 7

    monkeypatch.setattr(connect_proxy.backends, "load_backend", load)
    monkeypatch.setattr(connect_proxy.proxy_run, "run_proxy", started)
    for name in ("CONNECT_PROXY_BACKEND", "CONNECT_PROXY_ID", "CONNECT_SIDECAR_FOR", "CONNECT_PROXY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    yield made
    resource.setrlimit(resource.RLIMIT_CORE, limits)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_what_was_asked_for_is_handed_on(
    requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAINTED_COLOUR", "blue")
    words = ["-backend", "painted", "-sidecar-for=web", "--wait", "1m", "-painted-dry", "-log-level", "err"]
    assert run.execute([*words, "-log-json", "-bootstrap", "--", "-l", "debug", "--"]) == 7
    [request] = requests
    assert (request.proxy_id, request.sidecar_for, request.wait_s) == ("", "web", 60.0)
    assert (request.log_level, request.log_json, request.bootstrap) == ("ERROR", True, True)
    assert request.passthrough == ("-l", "debug", "--")
    assert request.options == {
        "painted-colour": Sourced("blue", Source.ENVIRONMENT, "PAINTED_COLOUR"),
        "painted-dry": Sourced(True, Source.FLAG, "-painted-dry"),
    }
    assert request.environment["PAINTED_COLOUR"] == "blue"


def test_the_exit_code_is_that_of_the_run(requests: list[RunRequest]) -> None:
    assert run.execute(["-proxy-id", "p"]) == 7
    assert requests[0].proxy_id == "p"


@pytest.mark.parametrize("where", ["flag", "variable", "file"])
def test_the_backend_comes_from_flag_variable_or_file(
    where: str, requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["-proxy-id", "p"]
    if where == "flag":
        words += ["-painted-colour", "green", "-backend=painted"]
    elif where == "variable":
        monkeypatch.setenv("CONNECT_PROXY_BACKEND", "painted")
        words += ["-painted-colour", "green"]
    else:
        path = tmp_path / "s.toml"
        path.write_text('backend = "painted"\npainted-colour = "green"\n')
        words += ["-settings", str(path)]
    assert run.execute(words) == 7
    assert requests[0].backend.name == "painted"
    assert requests[0].options["painted-colour"].value == "green"


def test_another_backends_flag_is_unknown(requests: list[RunRequest]) -> None:
    with pytest.raises(UsageError, match='unknown flag "-painted-colour"'):
        run.execute(["-proxy-id", "p", "-painted-colour", "green"])


def test_another_backends_key_is_unknown(requests: list[RunRequest], tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('painted-colour = "green"\n')
    with pytest.raises(ConfigurationError, match='unknown key "painted-colour"'):
        run.execute(["-proxy-id", "p", "-settings", str(path)])


def test_a_backend_hidden_in_an_unknown_flags_value_is_not_taken_for_another(
    requests: list[RunRequest],
) -> None:
    # Only once all flags are known is it clear that "-painted-colour" takes the next word.
    with pytest.raises(UsageError):
        run.execute(["-proxy-id", "p", "-painted-colour", "-backend=painted", "-backend", "builtin"])
    assert requests == []


def test_the_help_shows_the_backends_own_flags(
    requests: list[RunRequest], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.execute(["-backend", "painted", "--help"]) == 0
    assert "--painted-colour" in capsys.readouterr().out.split("Options of the backend painted:")[1]
    assert requests == []


@pytest.mark.parametrize(
    ("rows", "owner"),
    [
        ((Setting(name="token", help=""),), "which is the core's"),
        ((Setting(name="x", help=""), Setting(name="x", help="")), "another of its own"),
    ],
)
def test_a_backends_option_with_a_taken_name_is_refused(rows: tuple[Setting, ...], owner: str) -> None:
    with pytest.raises(BackendLoadError, match=owner):
        run.backend_rows(PaintedBackend(*rows))  # type: ignore[arg-type]  # only its options are asked for


def test_no_core_file_holds_a_secret_unless_the_limit_is_raised_again(requests: list[RunRequest]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    run.execute(["-proxy-id", "p"])
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, hard)
