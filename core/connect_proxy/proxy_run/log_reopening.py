"""Standard output and error on new files, for a rotation that renamed the old ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from connect_proxy.errors import ProxyControlError

STREAMS: Final = {"stdout": 1, "stderr": 2}


def reopen(request: Mapping[str, Any]) -> None:
    """Write on to the paths that *request* has under ``stdout`` and ``stderr``, made where they are not
    there. No line is lost: dup2(2) exchanges a descriptor in one step, for all threads.

    Raises ProxyControlError for a file that cannot be opened: the former one stays then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    for name, number in STREAMS.items():
        path = str(request.get(name, ""))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            message = f"{name} is not written to '{path}': {exc.strerror}; it stays where it was"
            raise ProxyControlError(message) from exc
        os.dup2(descriptor, number)
        os.close(descriptor)
