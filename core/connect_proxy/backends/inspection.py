"""What can be seen to be wrong with a backend without importing it.

Its source is found by the path-based finder and read as a syntax tree: nothing of it is run. That
tells the common ways to be broken (a package that is not installed, a misspelt or missing hook, a
syntax error) while listing; only loading it tells the rest.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from connect_proxy import hookspecs

HOOKS = frozenset(name for name, value in vars(hookspecs).items() if hasattr(value, "connect_proxy_spec"))


def visible_fault(module: str) -> str:
    """One line on what is wrong with the backend in *module*; empty if nothing can be seen."""
    spec = _find(module)
    if spec is None:
        return f"there is no module {module!r}"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""  # an extension module or a namespace: it cannot be read
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"
    missing = next((name for name in _imported(tree) if not _is_installed(name)), "")
    if missing:
        return f"it imports {missing!r}, which is not installed"
    return _hook_fault(tree)


def _hook_fault(tree: ast.Module) -> str:
    hooks = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _is_hook(node)]
    unknown = [name for name in hooks if name not in HOOKS]
    if unknown:
        return f"unknown hook {unknown[0]!r}"
    bound = set(_bound(tree)) | set(hooks)
    missing = [name for name in hookspecs.REQUIRED if name not in bound]
    if missing and "*" not in bound:
        return f"it does not implement the {missing[0]!r} hook"
    return ""


def _is_hook(function: ast.FunctionDef) -> bool:
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name == "hookimpl":
            return True
    return False


def _imported(tree: ast.Module) -> Iterator[str]:
    """Top-level packages that importing the module needs for certain."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that the module gets by imports and assignments: a hook may come that way."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Expr | ast.AnnAssign):
            yield "*"  # an if, a try, a loop: anything may be bound


def _is_installed(package: str) -> bool:
    return package in sys.stdlib_module_names or _find(package) is not None


def _find(module: str) -> ModuleSpec | None:
    """The module's spec, found folder by folder.

    ``importlib.util.find_spec`` imports nothing for a top-level name, but the parents of any other.
    """
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # an imported module without a spec: it is there
        return ModuleSpec(top, None)
    for number, _ in enumerate(rest, start=2):
        if spec is None:
            return None
        name = ".".join(module.split(".")[:number])
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations or []))
    return spec
