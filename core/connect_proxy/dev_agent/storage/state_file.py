"""``<data_dir>/server/state.json``: the kept state as text, versioned, one record a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from connect_proxy.dev_agent.storage.codec import decoded, encoded
from connect_proxy.dev_agent.storage.kept import KeptAgent, KeptCheck
from connect_proxy.dev_agent.storage.redaction import kept_ca_config, kept_check, kept_query
from connect_proxy.durable_file import DurableFile, unusable
from connect_proxy.errors import ConfigurationError

VERSION: Final = 1
_LISTS: Final = ("roots", "leaves", "services", "checks", "intentions", "queries")
"""What stands a record a line; the rest of :class:`KeptAgent` is one line."""
_BY_VALUE: Final = frozenset({"roots", "leaves"})
_REDACTIONS: Final[dict[str, Callable[[Any], Any]]] = {"checks": kept_check, "queries": kept_query}


class StateText:
    """Makes the text. What has not changed since the last one is not encoded again."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[object, str]] = {}

    def of(self, kept: KeptAgent) -> str:
        """*kept* without its secrets, as the file has it: ASCII."""
        known: dict[Hashable, tuple[object, str]] = {}
        lists = [f'"{name}": {self._lines(name, getattr(kept, name), known)}' for name in _LISTS]
        self._known = known
        authority = replace(kept.authority, config=kept_ca_config(kept.authority.config))
        head = {
            "version": VERSION,
            "index": kept.index,
            "node": encoded(kept.node),
            "authority": encoded(authority),
        }
        return ",\n".join([json.dumps(head, separators=(",", ":")).removesuffix("}"), *lists]) + "}\n"

    def _lines(self, name: str, items: Iterable[Any], known: dict[Hashable, tuple[object, str]]) -> str:
        lines = []
        for item in items:
            key = _identity(name, item)
            # The item is kept beside its text: as long as it is, no other has its identity.
            known[key] = self._known.get(key) or (item, _line(name, item))
            lines.append(known[key][1])
        return "[\n" + ",\n".join(lines) + "]"


def _identity(name: str, item: Any) -> Hashable:
    """Equal only for what has the same text. Records are replaced, never changed, so the object is it; what
    is made anew for every text is compared by value."""
    if isinstance(item, KeptCheck):
        return (id(item.record), id(item.definition))
    return item if name in _BY_VALUE else id(item)


def _line(name: str, item: Any) -> str:
    redacted = _REDACTIONS[name](item) if name in _REDACTIONS else item
    return json.dumps(encoded(redacted), separators=(",", ":"))


def parsed(text: str) -> KeptAgent:
    """The opposite of :meth:`StateText.of`. Raises ValueError for anything else."""
    try:
        document = json.loads(text)
    except RecursionError as exc:
        message = "it is nested too deeply"
        raise ValueError(message) from exc
    if not isinstance(document, dict) or "version" not in document:
        message = "it says no version"
        raise ValueError(message)
    version = document.pop("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        message = f"it is of version {version!r}, this program knows {VERSION}"
        raise ValueError(message + ("; a newer connect-proxy wrote it: run that one" if newer else ""))
    kept: KeptAgent = decoded(KeptAgent, document)
    for root in kept.roots:
        for pem in (root.certificate_pem, *root.intermediates_pem):
            x509.load_pem_x509_certificate(pem.encode())
    return kept


class StateFile:
    """The file itself. Never overwritten by who could not read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = DurableFile(path)

    def read(self) -> KeptAgent | None:
        """What was written last; None on the first start. Raises ConfigurationError for what is no state
        file of ours, and DataDirectoryError."""
        try:
            return parsed(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise unusable(self.path, exc) from exc
        except ValueError as exc:
            message = (
                f"the state file '{self.path}' cannot be used: {exc}; put back a copy of it, or move it"
                " away: the agent then starts as a new one, with a trust domain of its own"
            )
            raise ConfigurationError(message) from exc

    def reserve(self, size: int) -> None:
        """Have room for *size* bytes. Raises DataDirectoryError."""
        self._file.reserve(size)

    def write(self, text: str) -> None:
        """It is on disk when this returns. Raises DataDirectoryError."""
        self._file.replace(text)


assert {field.name for field in fields(KeptAgent)} == {*_LISTS, "index", "node", "authority"}
