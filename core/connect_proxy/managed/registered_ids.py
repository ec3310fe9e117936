"""Which registrations are this agent's: on disk, so that the next one removes what nobody asks for.

``<data_dir>/proxy/registered.json``: ``{"version": 1, "ids": [...]}``, mode 0600.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from connect_proxy.errors import ConfigurationError

VERSION: Final = 1
FILE_NAME: Final = "registered.json"


def read_ids(folder: Path) -> frozenset[str]:
    """What was written last in *folder*; nothing if there is no file. Raises ConfigurationError."""
    path = folder / FILE_NAME
    try:
        document = json.loads(path.read_text())
        if document["version"] != VERSION:
            message = f"it is of version {document['version']!r}, this program knows {VERSION}"
            raise ValueError(message)
        return frozenset(str(name) for name in document["ids"])
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError) as exc:
        message = (
            f"'{path}' cannot be used: {exc}; deregister what Consul has of this agent and nobody asks"
            " for, then remove the file"
        )
        raise ConfigurationError(message) from exc


def write_ids(folder: Path, ids: frozenset[str]) -> None:
    """Replace the file in *folder*, which has to exist."""
    path = folder / FILE_NAME
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"version": VERSION, "ids": sorted(ids)}, file)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
