"""Modules that others import without using them: loaded when something of them is used.

asyncio imports :mod:`ssl`; ``cryptography`` imports :mod:`hashlib` and :mod:`hmac`. Each of them brings
Python's OpenSSL into the process, 4 MiB, also where nobody uses it: an agent that is reached in the
clear needs none, and a data plane may have its own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Postponed(ModuleType):
    """Stands in the place of a module. Whoever takes something from it gets it from the real one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks around: nobody uses it yet
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = import_module(self.__name__)
        vars(self).update(vars(real))
        return getattr(real, name)


class NoSocket:
    """``ssl.SSLSocket`` until ssl is loaded: asyncio asks of each socket whether it is one, and none is."""


def postpone_openssl() -> None:
    """Before asyncio is imported for the first time; what is imported already stays."""
    if "asyncio" not in sys.modules and "ssl" not in sys.modules:
        sys.modules["ssl"] = tls = Postponed("ssl")
        vars(tls)["SSLSocket"] = NoSocket
        sys.modules["asyncio.sslproto"] = Postponed("asyncio.sslproto")  # it uses ssl at once
    for name in ("hashlib", "hmac"):
        sys.modules.setdefault(name, Postponed(name))
