"""The layout that CONTRIBUTING.md promises: every backend wired, every file small, every noun a module."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BACKENDS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
PRODUCT = sorted(path for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py"))
PACKAGES = [
    ROOT / "core/connect_proxy",
    *(ROOT / "plugins" / name / f"connect_proxy_{name}" for name in BACKENDS),
]

FILE_LINES = 300
FUNCTION_LINES = 40
NO_NOUNS = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "lib"}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and its lines, docstring and decorators included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_an_entry_point_of_its_folders_name(name: str, pyproject: dict[str, Any]) -> None:
    entry_points = pyproject["project"]["entry-points"]["connect_proxy.backends"]
    assert entry_points[name] == f"connect_proxy_{name}.plugin"
    assert (ROOT / "plugins" / name / f"connect_proxy_{name}" / "plugin.py").is_file()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_wired_everywhere(name: str, pyproject: dict[str, Any]) -> None:
    root, package = f"plugins/{name}", f"connect_proxy_{name}"
    hatch = pyproject["tool"]["hatch"]["build"]
    linter = pyproject["tool"]["importlinter"]
    assert f"{root}/{package}" in hatch["targets"]["wheel"]["packages"]
    assert root in hatch["dev-mode-dirs"]
    assert f"$MYPY_CONFIG_FILE_DIR/{root}" in pyproject["tool"]["mypy"]["mypy_path"]
    assert package in linter["root_packages"]
    contracts = {contract["name"]: contract for contract in linter["contracts"]}
    assert package in contracts["core never imports a backend"]["forbidden_modules"]
    assert package in contracts["backends do not know each other"]["modules"]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_has_a_readme(name: str) -> None:
    text = (ROOT / "plugins" / name / "README.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert "\n## Settings\n" in text
    assert "\n## Sample" in text


def test_every_entry_point_has_its_folder(pyproject: dict[str, Any]) -> None:
    assert sorted(pyproject["project"]["entry-points"]["connect_proxy.backends"]) == BACKENDS


@pytest.mark.parametrize("package", PACKAGES, ids=relative)
def test_every_package_says_that_it_is_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()


def test_source_roots_are_no_packages() -> None:
    roots = [ROOT / "core", ROOT / "plugins", *(ROOT / "plugins" / name for name in BACKENDS)]
    assert [relative(root) for root in roots if (root / "__init__.py").exists()] == []


def test_plugin_modules_hold_hooks_only() -> None:
    for package in (path for path in PACKAGES[1:] if (path / "plugin.py").exists()):
        tree = ast.parse((package / "plugin.py").read_text())
        for node in tree.body:
            assert not isinstance(node, ast.ClassDef), f"{relative(package)}/plugin.py: {node.name}"
            if isinstance(node, ast.FunctionDef):
                decorators = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
                assert "hookimpl" in decorators, f"{relative(package)}/plugin.py: {node.name}"


def test_no_file_is_long() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in PRODUCT}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_no_function_is_long() -> None:
    long = {
        f"{relative(path)}:{name}": lines
        for path in PRODUCT
        for name, lines in functions(path)
        if lines > FUNCTION_LINES
    }
    assert long == {}


def test_every_module_is_named_for_something() -> None:
    assert [relative(path) for path in PRODUCT if NO_NOUNS & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_is() -> None:
    silent = [relative(path) for path in PRODUCT if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [name for name in silent if not name.endswith("__init__.py")] == []


def test_a_unit_test_stands_where_its_source_does() -> None:
    astray = []
    for top, sources in (("core", ROOT / "core/connect_proxy"), ("plugins", ROOT / "plugins")):
        for path in sorted((ROOT / "tests/unit" / top).rglob("test_*.py")):
            folder = path.parent.relative_to(ROOT / "tests/unit" / top)
            if top == "plugins":
                name, *inside = folder.parts
                folder = Path(name, f"connect_proxy_{name}", *inside)
            if not (sources / folder).is_dir():
                astray.append(relative(path))
    assert astray == []
