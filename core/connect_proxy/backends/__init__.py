"""Finding backends, loading the chosen one, calling its hooks.

Discovery reads package metadata and imports nothing. Loading imports the one that was asked for (and
the installed extensions), in a fresh PluginManager, so a broken stranger harms only who asks for it.
``python -m connect_proxy.backends NAME`` loads one and says what is wrong with it.
"""

from connect_proxy.backends.discovery import (
    InstalledBackend,
    backend_names,
    checked_backends,
    installed_backends,
)
from connect_proxy.backends.facade import Backend
from connect_proxy.backends.loading import embedded_xds, load_backend

__all__ = [
    "Backend",
    "InstalledBackend",
    "backend_names",
    "checked_backends",
    "embedded_xds",
    "installed_backends",
    "load_backend",
]
