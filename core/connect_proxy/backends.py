"""Finding backends, loading the chosen one, calling its hooks.

Discovery reads package metadata and imports nothing. Loading imports the one that was asked for (and
the installed extensions), in a fresh PluginManager, so a broken stranger harms only who asks for it.
``python -m connect_proxy.backends NAME`` loads one and says what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from connect_proxy.errors import BackendError, BackendLoadError, ConnectProxyError, UnknownBackendError
from connect_proxy.mesh.immutable import EMPTY, frozen

if TYPE_CHECKING:
    import pluggy
    from importlib_metadata import EntryPoint

    from connect_proxy.plugin_api import (
        Launch,
        ProxyContext,
        ProxyProcess,
        RenderedConfig,
        Setting,
        Supervision,
    )

OWN_DISTRIBUTION = "connect-proxy"
BACKENDS_GROUP = "connect_proxy.backends"
EXTENSIONS_GROUP = "connect_proxy.extensions"
EXTENSIONS_VARIABLE = "CONNECT_PROXY_EXTENSIONS"
CHECK_TIMEOUT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class InstalledBackend:
    """What package metadata says of one backend. Nothing is imported to know it."""

    name: str
    distribution: str
    version: str
    module: str
    state: str
    """``installed``; ``broken`` if its source shows that already; ``shadowed`` by a backend of our own,
    ``ambiguous`` if strangers share the name; once loaded to check, ``ok`` or ``broken``."""
    reason: str = ""


class Backend:
    """The chosen backend behind typed hooks, each error carrying its name."""

    def __init__(self, name: str, manager: pluggy.PluginManager) -> None:
        self.name = name
        self._manager = manager

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    def options(self) -> Sequence[Setting]:
        """Its own command-line options; none if it has no such hook."""
        from connect_proxy.plugin_api import Setting

        rows: Sequence[Setting] = self._call("backend_options", (list, tuple), default=())
        for row in rows:
            if not isinstance(row, Setting):
                raise BackendError(self.name, "backend_options", TypeError(f"returned {row!r}"))
        return tuple(rows)

    def describe(self) -> Mapping[str, str]:
        """Versions of the programs that it would use on this host; none if it has no such hook."""
        described: Mapping[str, str] = self._call("describe", (Mapping,), default=EMPTY)
        return described

    def gather_facts(self, context: ProxyContext) -> Mapping[str, Any]:
        """What it found on this host; nothing if it has no such hook."""
        facts: Mapping[str, Any] = self._call("gather_facts", (Mapping,), default=EMPTY, context=context)
        return frozen(facts)  # type: ignore[no-any-return]  # frozen() keeps the kind

    def render_config(self, context: ProxyContext) -> RenderedConfig:
        """What the proxy is to be told."""
        from connect_proxy.plugin_api import RenderedConfig

        config: RenderedConfig = self._call("render_config", (RenderedConfig,), context=context)
        return config

    def launch(self, context: ProxyContext, config: RenderedConfig) -> Launch:
        """What to run."""
        from connect_proxy.plugin_api import ChildLaunch, ExecLaunch, InProcessLaunch

        kinds = (ExecLaunch, ChildLaunch, InProcessLaunch)
        what: Launch = self._call("launch", kinds, context=context, config=config)
        return what

    def supervise(self, context: ProxyContext, process: ProxyProcess) -> Supervision:
        """How to look after what was started."""
        from connect_proxy.plugin_api import Supervision

        how: Supervision = self._call("supervise", (Supervision,), context=context, process=process)
        return how

    def _call(self, hook: str, kinds: tuple[type, ...], default: Any = None, **arguments: object) -> Any:
        caller: Callable[..., object] | None = getattr(self._manager.hook, hook, None)
        if caller is None:
            return default
        try:
            result = caller(**arguments)
        except ConnectProxyError:
            raise
        except Exception as exc:
            raise BackendError(self.name, hook, exc) from exc
        if result is None and default is not None:
            return default
        if not isinstance(result, kinds):
            raise BackendError(self.name, hook, TypeError(f"returned a {type(result).__name__}"))
        return result


# ---------------------------------------------------------------- discovery


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All installed backends, sorted by name, without importing any."""
    return tuple(
        _installed(name, point, points)
        for name, points in sorted(_discover(BACKENDS_GROUP).items())
        for point in points
    )


def _installed(name: str, point: EntryPoint, points: Sequence[EntryPoint]) -> InstalledBackend:
    from connect_proxy.backend_inspection import visible_fault

    chosen = _preferred(points)
    if point is chosen:
        reason = visible_fault(point.module)
        state = "broken" if reason else "installed"
    elif chosen is not None:
        state, reason = (
            "shadowed",
            f"{name!r} is a backend of {OWN_DISTRIBUTION} itself; choose another name",
        )
    else:
        state, reason = "ambiguous", f"the name is taken by {_owners(points)}"
    distribution, version = _distribution(point)
    return InstalledBackend(
        name=name,
        distribution=distribution,
        version=version,
        module=point.value,
        state=state,
        reason=reason,
    )


def checked_backends() -> tuple[InstalledBackend, ...]:
    """As :func:`installed_backends`, each loaded in a process of its own to tell its state."""
    return tuple(_checked(backend) for backend in installed_backends())


def _checked(backend: InstalledBackend) -> InstalledBackend:
    if backend.state not in {"installed", "broken"}:
        return backend
    command = [sys.executable, "-m", "connect_proxy.backends", backend.name]
    try:
        outcome = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        reason = "" if outcome.returncode == 0 else (outcome.stderr.strip() or f"exit {outcome.returncode}")
    except subprocess.TimeoutExpired:
        reason = f"loading it took longer than {CHECK_TIMEOUT_S:g} s"
    last_line = reason.splitlines()[-1] if reason else ""
    return dataclasses.replace(backend, state="broken" if reason else "ok", reason=last_line)


def _discover(group: str) -> dict[str, list[EntryPoint]]:
    from importlib_metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Name and version of who installed it; metadata of strangers may lack either."""
    if point.dist is None:
        return "unknown", "unknown"
    return point.dist.name or "unknown", point.dist.version or "unknown"


def _owners(points: Sequence[EntryPoint]) -> str:
    return " and ".join(sorted(f"{_distribution(point)[0]} ({point.value})" for point in points))


# ---------------------------------------------------------------- loading


def load_backend(name: str) -> Backend:
    """Load that backend and no other. Raises UnknownBackendError, BackendLoadError."""
    import pluggy

    from connect_proxy import hookspecs

    point = _only(name)
    manager = pluggy.PluginManager("connect_proxy")
    manager.add_hookspecs(hookspecs)
    _register(manager, f"backend {name!r}", point)
    for hook in hookspecs.REQUIRED:
        if not getattr(manager.hook, hook).get_hookimpls():
            message = f"{_culprit(f'backend {name!r}', point)} does not implement the {hook!r} hook"
            raise BackendLoadError(message)
    _add_extensions(manager)
    return Backend(name, manager)


def _only(name: str) -> EntryPoint:
    known = _discover(BACKENDS_GROUP)
    points = known.get(name, [])
    if not points:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        message = f"no backend is named {name!r}; installed are {', '.join(sorted(known)) or 'none'}{hint}"
        raise UnknownBackendError(message)
    chosen = _preferred(points)
    if chosen is None:
        message = f"several installed backends are named {name!r}: {_owners(points)}; keep one of them"
        raise BackendLoadError(message)
    return chosen


def _preferred(points: Sequence[EntryPoint]) -> EntryPoint | None:
    """The one that a name means: the only one, or our own, so that no stranger can take its place."""
    own = [point for point in points if _distribution(point)[0] == OWN_DISTRIBUTION]
    candidates = own or points
    return candidates[0] if len(candidates) == 1 else None


def _culprit(what: str, point: EntryPoint) -> str:
    distribution, version = _distribution(point)
    return f"{what} ({point.value}, from {distribution} {version})"


def _register(manager: pluggy.PluginManager, what: str, point: EntryPoint) -> object:
    """Import what the entry point names and check its hooks against the specifications."""
    from pluggy import PluginValidationError

    try:
        plugin: object = point.load()
        manager.register(plugin, name=point.name)
        manager.check_pending()
    except PluginValidationError as exc:
        text = " ".join(str(exc).split())
        message = f"{_culprit(what, point)} has a wrong hook: {text}; correct or uninstall it"
        raise BackendLoadError(message) from exc
    except (Exception, SystemExit) as exc:
        message = (
            f"{_culprit(what, point)} failed to load: {type(exc).__name__}: {exc}; repair or uninstall it"
        )
        raise BackendLoadError(message) from exc
    return plugin


def _add_extensions(manager: pluggy.PluginManager) -> None:
    """Register every installed extension, or those that CONNECT_PROXY_EXTENSIONS lists.

    A broken extension is an error, not a warning: what it was to add may be a sandbox.
    """
    wanted = os.environ.get(EXTENSIONS_VARIABLE)
    names = None if wanted is None else {name.strip() for name in wanted.split(",")} - {""}
    for name, points in sorted(_discover(EXTENSIONS_GROUP).items()):
        if names is not None and name not in names:
            continue
        what = f"extension {name!r}"
        if len(points) > 1:
            message = f"several installed extensions are named {name!r}: {_owners(points)}"
            raise BackendLoadError(message)
        plugin = _register(manager, what, points[0])
        for caller in manager.get_hookcallers(plugin) or []:
            own = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin]
            if not all(impl.wrapper or impl.hookwrapper for impl in own):
                message = (
                    f"{_culprit(what, points[0])} implements {caller.name!r} without wrapper=True: an"
                    f" extension only wraps; leave it out with {EXTENSIONS_VARIABLE}"
                )
                raise BackendLoadError(message)
    missing = (names or set()) - set(_discover(EXTENSIONS_GROUP))
    if missing:
        message = f"{EXTENSIONS_VARIABLE} names {', '.join(sorted(missing))}, which is not installed"
        raise UnknownBackendError(message)


if __name__ == "__main__":
    try:
        load_backend(sys.argv[1])
    except ConnectProxyError as error:
        sys.exit(str(error))
