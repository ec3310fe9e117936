"""Whether a ClientHello wants to resume a session: RFC 8446, 4.1.2 and 4.2.11. Pure.

Only a hint (see :mod:`connect_proxy_builtin.tls.contexts`): what is cut short, malformed or split
over several records counts as "no".
"""

from __future__ import annotations

from typing import Final

HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
PRE_SHARED_KEY: Final = 41
FIXED: Final = 5 + 4 + 2 + 32
"""Record header, handshake header, version, random."""


def offers_session(data: memoryview) -> bool:
    """Whether the last extension is ``pre_shared_key``, which must be the last one if it is there."""
    try:
        if data[0] != HANDSHAKE or data[5] != CLIENT_HELLO:
            return False
        at = FIXED
        at += 1 + data[at]  # legacy_session_id
        at += 2 + _two_bytes(data, at)  # cipher_suites
        at += 1 + data[at]  # legacy_compression_methods
        end = at + 2 + _two_bytes(data, at)
        at += 2
        kind = -1
        while at < end:
            kind = _two_bytes(data, at)
            at += 4 + _two_bytes(data, at + 2)
    except IndexError:
        return False
    return kind == PRE_SHARED_KEY


def _two_bytes(data: memoryview, at: int) -> int:
    return data[at] << 8 | data[at + 1]
