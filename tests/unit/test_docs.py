"""The documentation says what the code does: every hook, error, exit code and route, and no dead link."""

from __future__ import annotations

import inspect
import re
import signal
import tomllib
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pluggy
import pytest

from connect_proxy import errors, hookspecs
from connect_proxy.cli.main import COMMANDS
from connect_proxy.dev_agent.http.routes import ENDPOINTS
from connect_proxy.plugin_api import ProxyProcess, Source, Sourced
from connect_proxy.settings.fields import CORE
from connect_proxy.settings.reference import page as settings_page
from connect_proxy.testing import examples

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("plugins/*/README.md")],
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def headings(page: Path) -> list[str]:
    """The headings of a page, without their marks."""
    prose = FENCE.sub("", page.read_text())
    return re.findall(r"^#+ (.+?)\s*$", prose, re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub and the site make it: lower case, words and dashes only."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def error_classes() -> Iterator[type[errors.ConnectProxyError]]:
    for _, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, errors.ConnectProxyError) and value.__module__ == errors.__name__:
            yield value


def hook_functions() -> Iterator[tuple[str, list[str]]]:
    for name, value in inspect.getmembers(hookspecs, inspect.isfunction):
        if hasattr(value, "connect_proxy_spec"):
            yield name, list(inspect.signature(value).parameters)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        found = target.exists()
        if found and fragment and target.suffix == ".md":
            found = fragment in {anchor(heading) for heading in headings(target)}
        if not found:
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=relative)
def test_no_heading_stands_twice_on_a_page(page: Path) -> None:
    found = headings(page)
    assert sorted(found) == sorted(set(found))


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link)
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert sorted(relative(page) for page in set(DOCS.rglob("*.md")) - reached) == []


def test_every_hook_has_a_heading_with_its_arguments() -> None:
    wanted = {f"{name}({', '.join(arguments)})" for name, arguments in hook_functions()}
    assert wanted, "the hooks were not found"
    assert wanted - set(headings(DOCS / "reference/hooks.md")) == set()


def test_no_hook_is_documented_that_is_not_there() -> None:
    documented = {heading for heading in headings(DOCS / "reference/hooks.md") if "(" in heading}
    assert documented - {f"{name}({', '.join(arguments)})" for name, arguments in hook_functions()} == set()


@pytest.mark.parametrize("error", list(error_classes()), ids=lambda error: error.__name__)
def test_every_error_has_a_row_with_its_exit_code(error: type[errors.ConnectProxyError]) -> None:
    rows = [row for row in (DOCS / "reference/errors.md").read_text().splitlines() if row.startswith("|")]
    assert [row for row in rows if row.startswith(f"| `{error.__name__}` | {error.exit_code} |")]


def test_no_error_is_documented_that_is_not_there() -> None:
    text = (DOCS / "reference/errors.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert documented - {error.__name__ for error in error_classes()} == set()


def test_every_exit_code_has_a_row() -> None:
    text = (DOCS / "reference/errors.md").read_text()
    codes = {0} | {error.exit_code for error in error_classes()}
    assert {code for code in codes if not re.search(rf"^\| {code} \| ", text, re.MULTILINE)} == set()


def test_every_command_of_the_makefile_is_in_contributing_or_in_its_help() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    explained = set(re.findall(r"^(\w+):.*## ", text, re.MULTILINE))
    assert targets - explained <= {"python"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:^|`)make (\w+)", contributing, re.MULTILINE))
    assert named
    assert named <= explained


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (DOCS / "reference/install.md").read_text()
    extras = set(project["optional-dependencies"]) - {"dev", "docs"}
    assert {extra for extra in extras if f".[{extra}]" not in text} == set()


def test_every_endpoint_of_the_embedded_agent_has_a_row() -> None:
    text = (DOCS / "reference/http-api.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z]+)` \| `(/v1/[^`]+)` \|", text, re.MULTILINE))
    # ACLs are documented as one.
    served = {(one.method, one.path) for one in ENDPOINTS if not one.path.startswith("/v1/acl/")}
    assert documented == served
    assert "/v1/acl/" in text


def test_the_backend_of_the_how_to_is_one() -> None:
    text = (DOCS / "how-to/write-a-backend.md").read_text()
    project, plugin, _ = re.findall(r"^```(?:toml|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(project)["project"]["entry-points"]["connect_proxy.backends"] == {
        "haproxy": "connect_proxy_haproxy.plugin"
    }
    module = types.ModuleType("connect_proxy_haproxy.plugin")
    exec(plugin, module.__dict__)
    manager = pluggy.PluginManager("connect_proxy")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    rows = manager.hook.backend_options()
    options = {row.name: Sourced(row.default, Source.DEFAULT) for row in rows}
    context = examples.context(options=options, passthrough=("-V",))
    config = manager.hook.render_config(context=context)
    launch = manager.hook.launch(context=context, config=config)
    assert launch.argv == ("haproxy", "-f", "{config}", "-V")
    assert b"bind 127.0.0.1:21000" in launch.documents[0].content
    supervision = manager.hook.supervise(context=context, process=ProxyProcess(pid=1))
    assert supervision.stop_signal == signal.SIGUSR1


def test_the_settings_page_is_what_the_table_says() -> None:
    assert (DOCS / "reference/settings.md").read_text() == settings_page(), (
        "write it anew: python -m connect_proxy.settings.reference > docs/reference/settings.md"
    )


def test_every_core_setting_has_its_row() -> None:
    rows = [line for line in settings_page().splitlines() if line.startswith("|")]
    for setting in CORE:
        named = f"`-{setting.name}`" if setting.flag else f"`{setting.env}`"
        assert [row for row in rows if f"| {named} |" in row], setting.name


def test_every_command_has_a_heading_and_no_other_has() -> None:
    found = [name for name in headings(DOCS / "reference/cli.md") if name.startswith("connect-proxy ")]
    assert sorted(found) == sorted(f"connect-proxy {name}" for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_is_explained_under_its_heading(name: str) -> None:
    section = (
        (DOCS / "reference/cli.md").read_text().split(f"## connect-proxy {name}\n")[1].split("\n## ")[0]
    )
    core = {setting.name for setting in CORE}
    rows = import_module(COMMANDS[name].module).ROWS
    missing = [row.name for row in rows if row.name not in core and f"| `-{row.name}" not in section]
    assert missing == []
