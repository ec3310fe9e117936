"""A proxy's id as a name of its files: one id, one name, and never outside of their folder."""

from __future__ import annotations

import hashlib
import os
from typing import Final

LONGEST_ID: Final = 200
"""Bytes; a file's name has 255 (NAME_MAX), ``-stderr.log.5`` included."""
LONGEST_SOCKET_STEM: Final = 64
"""Bytes: what of a socket's 107 is left behind ``/proc/self/fd/N/``, with some room."""


def stem(proxy_id: str) -> str:
    """The id as file names have it; the same once more for what is one already."""
    return proxy_id.replace("/", "%2F")


def socket_name(proxy_id: str) -> str:
    """Of its control socket: a long id by the first half of its SHA-256."""
    name = stem(proxy_id)
    encoded = os.fsencode(name)
    if len(encoded) > LONGEST_SOCKET_STEM:
        name = hashlib.sha256(encoded).hexdigest()[:32]
    return f"{name}.sock"
