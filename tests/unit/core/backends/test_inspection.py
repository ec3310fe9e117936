"""Looking at a backend's source without running it."""

from pathlib import Path

import pytest

from connect_proxy.backends.inspection import HOOKS, visible_fault
from connect_proxy.hookspecs import REQUIRED

GOOD = """
import json
from connect_proxy.plugin_api import hookimpl

@hookimpl
def render_config(context): ...
@hookimpl(trylast=True)
def launch(context, config): ...
@hookimpl
def supervise(context, process): ...
"""


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a closure
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "stranger_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")

    def look(source: str) -> str:
        (package / "plugin.py").write_text(source)
        return visible_fault("stranger_package.plugin")

    return look


def test_the_hooks_are_known() -> None:
    assert set(REQUIRED) | {"backend_options", "gather_facts"} <= HOOKS


def test_our_own_backends_show_no_fault() -> None:
    for name in ("builtin", "custom_exec", "envoy"):
        assert visible_fault(f"connect_proxy_{name}.plugin") == ""


def test_a_sound_one_shows_no_fault_and_is_not_run(fault) -> None:  # type: ignore[no-untyped-def]
    assert fault(GOOD) == ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_package.inside\n" + GOOD, "it imports 'no_such_package', which is not installed"),
        (GOOD.replace("launch", "lunch"), "unknown hook 'lunch'"),
        (GOOD.replace("@hookimpl\ndef supervise(context, process): ...", ""), "'supervise' hook"),
        ("def broken(:", "SyntaxError"),
        ("\0", "source code string cannot contain null bytes"),
    ],
)
def test_a_fault_is_said_in_one_line(fault, source: str, said: str) -> None:  # type: ignore[no-untyped-def]
    assert said in fault(source)
    assert "\n" not in fault(source)


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import x\nexcept ImportError:\n    x = None\n",
        "from connect_proxy.plugin_api import hookimpl\nif True:\n    def launch(): ...\n",
        GOOD.replace("@hookimpl\ndef supervise(context, process): ...", "supervise = launch"),
    ],
)
def test_what_cannot_be_told_is_not_called_broken(fault, source: str) -> None:  # type: ignore[no-untyped-def]
    assert fault(source) == ""


def test_a_module_that_is_not_there_is_named() -> None:
    assert visible_fault("nowhere.plugin") == "there is no module 'nowhere.plugin'"
    assert visible_fault("json.nowhere") == "there is no module 'json.nowhere'"
