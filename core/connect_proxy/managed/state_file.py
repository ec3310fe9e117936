"""What the agent must know after its own end: which proxies it started, where they listen, as whom.

``<data_dir>/proxy/state.json``, mode 0600, versioned, replaced atomically and fsynced. It holds no
secret: of a token only accessor and hash.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from connect_proxy.durable_file import replace_durably, unusable
from connect_proxy.errors import ConfigurationError, DataDirectoryLockedError
from connect_proxy.managed.file_names import socket_name
from connect_proxy.supervisor.identity import ProcessIdentity

VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PredecessorRecord:
    """The process that served before, as long as it stands beside the new one."""

    process: ProcessIdentity
    started_at: float = 0.0
    """Seconds since the epoch."""
    token_accessor: str = ""
    shares_ports: bool = False
    """It lets the new one listen on its addresses too."""
    addresses: Mapping[str, int] = field(default_factory=dict)
    """``host:port`` of what it listens on, each with the number of its sockets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyRecord:
    """One managed proxy as it stands on disk."""

    id: str
    service_id: str
    service_name: str
    backend: str
    port: int = 0
    fingerprint: str = ""
    """Of what it was started with: another one means a restart is due."""
    process: ProcessIdentity | None = None
    held: bool = False
    """Stopped by an operator: not to be started until told so."""
    log_level: str = ""
    """An operator's order, until another one or a changed ``log_level`` of the files; empty: none."""
    token_accessor: str = ""
    token_hash: str = ""
    """SHA-256 of the secret, hexadecimal."""
    started_at: float = 0.0
    """Seconds since the epoch; 0 if it does not run."""
    restarts: int = 0
    last_exit: int | None = None
    """Exit code, or minus the signal's number; None: none yet, or not known."""
    last_error: str = ""
    predecessor: PredecessorRecord | None = None
    """Set from before the new process runs until the old one has ended."""


Records = Mapping[str, ProxyRecord]
NO_RECORDS: Final[Records] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class DataDirectory:
    """The agent's folder: who holds its lock may write in it."""

    path: Path
    _lock: list[int] = field(default_factory=list, repr=False)

    @property
    def state_path(self) -> Path:
        return self.path / "proxy" / "state.json"

    @property
    def registered_path(self) -> Path:
        return self.path / "proxy" / "registered.json"

    @property
    def tokens_path(self) -> Path:
        return self.path / "proxy" / "tokens.json"

    @property
    def services_path(self) -> Path:
        return self.path / "proxy" / "services.json"

    @property
    def logs_path(self) -> Path:
        return self.path / "proxy" / "logs"

    def door_path(self, proxy_id: str) -> Path:
        """The control socket of one proxy."""
        return self.path / "proxy" / "run" / socket_name(proxy_id)

    def lock(self) -> None:
        """Make the folder and take its lock, until :meth:`unlock` or our end.

        Raises DataDirectoryLockedError naming the pid of the agent that holds it, DataDirectoryError.
        """
        try:
            self._lock.append(self._locked())
        except OSError as exc:
            raise unusable(Path(exc.filename or self.path), exc) from exc

    def _locked(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One by one: mkdir(parents=True) gives its mode to the last folder alone.
        for folder in (self.path, self.state_path.parent, self.logs_path, self.door_path("").parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.path / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            message = (
                f"the data directory '{self.path}' is in use by the agent with pid {holder or 'unknown'};"
                " stop it, or give another -data-dir"
            )
            raise DataDirectoryLockedError(message) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def unlock(self) -> None:
        """Give the lock back."""
        while self._lock:
            os.close(self._lock.pop())

    def read(self) -> Records:
        """What was written last, if anything. Raises ConfigurationError for what is no state file, and
        DataDirectoryError."""
        try:
            text = self.state_path.read_text()
        except FileNotFoundError:
            return NO_RECORDS
        except OSError as exc:
            raise unusable(self.state_path, exc) from exc
        try:
            return decode(json.loads(text))
        except (ValueError, KeyError, TypeError) as exc:
            message = (
                f"the state file '{self.state_path}' cannot be used: {exc}; proxies it named may still run:"
                " look for them (ps), end them, then remove the file"
            )
            raise ConfigurationError(message) from exc

    def write(self, records: Records) -> None:
        """Put *records* on disk; they are there when this returns. Raises DataDirectoryError."""
        self._replace(self.state_path, encode(records))

    def registered(self) -> frozenset[str]:
        """Ids of what was registered in Consul. Raises ConfigurationError for what is no such file, and
        DataDirectoryError."""
        return self._names(self.registered_path, "ids")

    def write_registered(self, ids: frozenset[str]) -> None:
        """Put the ids of what is registered on disk. Raises DataDirectoryError."""
        self._replace(self.registered_path, {"version": VERSION, "ids": sorted(ids)})

    def tokens(self) -> frozenset[str]:
        """Accessors of the ACL tokens that were made and may still be in Consul. Raises as
        :meth:`registered` does."""
        return self._names(self.tokens_path, "accessors")

    def write_tokens(self, accessors: frozenset[str]) -> None:
        """Put the accessors of the tokens that were made on disk. Raises DataDirectoryError."""
        self._replace(self.tokens_path, {"version": VERSION, "accessors": sorted(accessors)})

    def services(self) -> list[Mapping[str, Any]]:
        """Bodies of what was registered over the API, without tokens. Raises ConfigurationError for what
        is no such file."""
        try:
            document = json.loads(self.services_path.read_text())
            _check_version(document)
            return [dict(one) for one in document["services"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as exc:
            message = f"the file '{self.services_path}' cannot be used: {exc}; remove it"
            raise ConfigurationError(message) from exc

    def write_services(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Put the bodies of what was registered over the API on disk; they are there when this returns."""
        self._replace(self.services_path, {"version": VERSION, "services": list(bodies)})

    def _names(self, path: Path, key: str) -> frozenset[str]:
        try:
            document = json.loads(path.read_text())
            _check_version(document)
            return frozenset(str(one) for one in document[key])
        except FileNotFoundError:
            return frozenset()
        except OSError as exc:
            raise unusable(path, exc) from exc
        except (ValueError, KeyError, TypeError) as exc:
            message = f"the file '{path}' cannot be used: {exc}; remove it"
            raise ConfigurationError(message) from exc

    def _replace(self, path: Path, document: Mapping[str, Any]) -> None:
        try:
            replace_durably(path, json.dumps(document, indent=1, sort_keys=True) + "\n")
        except OSError as exc:
            raise unusable(path, exc) from exc


def encode(records: Records) -> dict[str, Any]:
    """As JSON has it."""
    proxies = {name: dataclasses.asdict(record) for name, record in records.items()}
    for fields in proxies.values():
        if fields["predecessor"] is None:  # then older versions can read it too
            del fields["predecessor"]
    return {"version": VERSION, "proxies": proxies}


def decode(document: Any) -> Records:
    """The opposite of :func:`encode`. Raises ValueError, KeyError or TypeError for anything else."""
    _check_version(document)
    records = {name: _record(fields) for name, fields in document["proxies"].items()}
    return MappingProxyType(records)


def _check_version(document: Any) -> None:
    if document["version"] != VERSION:
        message = f"it is of version {document['version']!r}, this program knows {VERSION}"
        raise ValueError(message)


def _record(fields: Mapping[str, Any]) -> ProxyRecord:
    process, before = fields.get("process"), fields.get("predecessor")
    decoded = {
        "process": ProcessIdentity(**process) if process else None,
        "predecessor": _predecessor(before) if before else None,
    }
    return ProxyRecord(**{**fields, **decoded})


def _predecessor(fields: Mapping[str, Any]) -> PredecessorRecord:
    return PredecessorRecord(**{**fields, "process": ProcessIdentity(**fields["process"])})
