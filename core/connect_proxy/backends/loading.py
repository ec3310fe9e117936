"""Importing one backend and the extensions around it, with every fault put into words."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from connect_proxy.backends.discovery import BACKENDS_GROUP, discover, owner, owners, preferred
from connect_proxy.backends.facade import Backend
from connect_proxy.errors import BackendLoadError, ConnectProxyError, UnknownBackendError

if TYPE_CHECKING:
    import pluggy
    from importlib_metadata import EntryPoint

    from connect_proxy.plugin_api import XdsService

log = logging.getLogger("connect_proxy.backends")

EXTENSIONS_GROUP = "connect_proxy.extensions"
EXTENSIONS_VARIABLE = "CONNECT_PROXY_EXTENSIONS"


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


def embedded_xds() -> XdsService | None:
    """What serves xDS on the embedded agent's gRPC port: of the first backend that offers it.

    Loads the installed backends one after the other; a broken one is passed over.
    """
    for name in sorted(discover(BACKENDS_GROUP)):
        try:
            service = load_backend(name).embedded_xds()
        except ConnectProxyError as exc:
            log.debug("passed over when looking for xDS: %s", exc)
            continue
        if service is not None:
            return service
    return None


def _only(name: str) -> EntryPoint:
    known = discover(BACKENDS_GROUP)
    points = known.get(name, [])
    if not points:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        message = f"no backend is named {name!r}; installed are {', '.join(sorted(known)) or 'none'}{hint}"
        raise UnknownBackendError(message)
    chosen = preferred(points)
    if chosen is None:
        message = f"several installed backends are named {name!r}: {owners(points)}; keep one of them"
        raise BackendLoadError(message)
    return chosen


def _culprit(what: str, point: EntryPoint) -> str:
    distribution, version = owner(point)
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
    for name, points in sorted(discover(EXTENSIONS_GROUP).items()):
        if names is not None and name not in names:
            continue
        what = f"extension {name!r}"
        if len(points) > 1:
            message = f"several installed extensions are named {name!r}: {owners(points)}"
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
    missing = (names or set()) - set(discover(EXTENSIONS_GROUP))
    if missing:
        message = f"{EXTENSIONS_VARIABLE} names {', '.join(sorted(missing))}, which is not installed"
        raise UnknownBackendError(message)
