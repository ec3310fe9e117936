"""When a file was made: what stat(2) does not tell, since its ``ctime`` moves with every write."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

AT_FDCWD: Final = -100
STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_MASK: Final = struct.Struct("=I")
_BTIME: Final = struct.Struct("=qI")
_BTIME_OFFSET: Final = 80


def birth_of(path: Path) -> float | None:
    """Seconds since the epoch (``stx_btime`` of statx(2)); None where system or file system keeps none.

    Raises OSError, FileNotFoundError above all.
    """
    status = path.stat()
    if (born := getattr(status, "st_birthtime", None)) is not None:  # macOS has it there
        return float(born)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "statx"):
        return None
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    if libc.statx(AT_FDCWD, os.fsencode(path), 0, STATX_BTIME, buffer) != 0:
        return None
    (mask,) = _MASK.unpack_from(buffer, 0)
    if not mask & STATX_BTIME:
        return None
    seconds, nanoseconds = _BTIME.unpack_from(buffer, _BTIME_OFFSET)
    return float(seconds + nanoseconds / 1e9)
