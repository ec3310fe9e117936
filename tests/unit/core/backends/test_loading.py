"""Finding and loading backends, with strangers of every kind installed beside ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.packages import install, with_packages

LOAD = """
import sys
from connect_proxy.backends import load_backend
from connect_proxy.errors import ConnectProxyError
from connect_proxy.testing import examples
try:
    backend = load_backend(sys.argv[1])
    context = examples.context(backend)
    config = backend.render_config(context)
    print("rendered", dict(config.document))
    print("launch", getattr(backend.launch(context, config), "argv", None))
except ConnectProxyError as exc:
    print(type(exc).__name__, exc)
"""

LIST = """
import json, sys
from connect_proxy.backends import {function}
print(json.dumps([[b.name, b.distribution, b.version, b.state, b.reason] for b in {function}()]))
"""


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    return install(folder, "connect-proxy-hostile", "connect-proxy-recorder")


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracing")
    return install(folder, "connect-proxy-tracing", "connect-proxy-recorder")


def python(code: str, *argv: str, folder: Path, **variables: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *argv],
        env=with_packages(folder) | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


def test_listing_finds_strangers_and_ours_by_metadata_alone(strangers: Path) -> None:
    code = LIST.format(function="installed_backends") + (
        "print([name for name in sys.modules if name.startswith('connect_proxy_')])"
    )
    listed, imported = python(code, folder=strangers).splitlines()
    names = {row[0] for row in json.loads(listed)}
    assert {"builtin", "custom_exec", "envoy", "recorder", "import_error", "misspelt_hook"} <= names
    assert ["recorder", "connect-proxy-recorder", "1.2.3", "installed", ""] in json.loads(listed)
    assert imported == "[]"


def test_listing_tells_what_the_source_shows_to_be_wrong(strangers: Path) -> None:
    rows = json.loads(python(LIST.format(function="installed_backends"), folder=strangers))
    found = {row[0]: (row[3], row[4]) for row in rows if row[1] == "connect-proxy-hostile"}
    assert found["import_error"] == (
        "broken",
        "it imports 'a_module_that_does_not_exist', which is not installed",
    )
    assert found["misspelt_hook"] == ("broken", "unknown hook 'render_confg'")
    assert found["no_launch"] == ("broken", "it does not implement the 'launch' hook")


def test_a_stranger_cannot_take_the_name_of_one_of_ours(strangers: Path) -> None:
    rows = json.loads(python(LIST.format(function="installed_backends"), folder=strangers))
    states = {row[1]: row[3] for row in rows if row[0] == "builtin"}
    assert states == {"connect-proxy": "installed", "connect-proxy-hostile": "shadowed"}
    code = "from connect_proxy.backends import load_backend; print(load_backend('builtin'))"
    assert python(code, folder=strangers) == "<Backend builtin>"


def test_checking_tells_what_is_wrong_with_each(strangers: Path) -> None:
    rows = json.loads(python(LIST.format(function="checked_backends"), folder=strangers))
    found = {row[0]: (row[3], row[4]) for row in rows if row[1] != "connect-proxy"}
    assert found["recorder"] == ("ok", "")
    assert found["import_error"][0] == "broken"
    assert "a_module_that_does_not_exist" in found["import_error"][1]
    assert found["exits"][0] == "broken"
    assert "render_confg" in found["misspelt_hook"][1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "import_error",
            "BackendLoadError backend 'import_error' (connect_proxy_hostile.import_error, from",
        ),
        ("import_error", "ModuleNotFoundError: No module named 'a_module_that_does_not_exist'"),
        ("exits", "SystemExit: I end whoever imports me"),
        ("misspelt_hook", "unknown hook 'render_confg'"),
        ("wrong_argument", "contxt"),
        ("no_launch", "does not implement the 'launch' hook"),
        (
            "raising_hook",
            "BackendError backend 'raising_hook' failed in render_config: KeyError: 'upstream'",
        ),
        ("wrong_result", "failed in render_config: TypeError: returned a str"),
        ("nosuch", "UnknownBackendError no backend is named 'nosuch'; installed are builtin, builtin, "),
        ("recoder", "did you mean 'recorder'?"),
    ],
)
def test_a_broken_backend_says_what_is_wrong_to_who_asks_for_it(
    strangers: Path, name: str, said: str
) -> None:
    assert said.replace("builtin, builtin", "builtin") in python(LOAD, name, folder=strangers)


@pytest.mark.parametrize("name", ["builtin", "envoy", "recorder"])
def test_broken_strangers_harm_nobody_else(strangers: Path, name: str) -> None:
    code = f"from connect_proxy.backends import load_backend; print(load_backend({name!r}))"
    assert python(code, folder=strangers) == f"<Backend {name}>"


def test_two_strangers_with_one_name_refuse_only_that_name(tmp_path: Path) -> None:
    folder = install(tmp_path, "connect-proxy-recorder")
    metadata = folder / "connect_proxy_twin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: connect-proxy-twin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[connect_proxy.backends]\nrecorder = connect_proxy_recorder.plugin\n"
    )
    answer = python(LOAD, "recorder", folder=folder)
    assert answer.startswith("BackendLoadError several installed backends are named 'recorder'")
    assert "connect-proxy-recorder" in answer
    assert "connect-proxy-twin" in answer
    code = "from connect_proxy.backends import load_backend; print(load_backend('custom_exec'))"
    assert python(code, folder=folder) == "<Backend custom_exec>"


def test_an_extension_wraps_whatever_backend_is_chosen(tracing: Path) -> None:
    answer = python(LOAD, "recorder", folder=tracing)
    assert "'traced': True" in answer
    assert "'--traced')" in answer


def test_an_extension_can_be_left_out(tracing: Path) -> None:
    answer = python(LOAD, "recorder", folder=tracing, CONNECT_PROXY_EXTENSIONS="")
    assert "traced" not in answer


def test_an_extension_asked_for_and_not_installed_is_an_error(tracing: Path) -> None:
    answer = python(LOAD, "recorder", folder=tracing, CONNECT_PROXY_EXTENSIONS="tracing,sandbox")
    assert "CONNECT_PROXY_EXTENSIONS names sandbox, which is not installed" in answer


def test_an_extension_that_would_replace_a_backend_is_refused(tmp_path: Path) -> None:
    folder = install(tmp_path, "connect-proxy-hostile")
    metadata = next(folder.glob("connect_proxy_hostile-*.dist-info"))
    (metadata / "entry_points.txt").write_text(
        "[connect_proxy.extensions]\ntaker = connect_proxy_hostile.raising_hook\n"
    )
    answer = python(LOAD, "builtin", folder=folder)
    assert answer.startswith("BackendLoadError extension 'taker'")
    assert "without wrapper=True" in answer
