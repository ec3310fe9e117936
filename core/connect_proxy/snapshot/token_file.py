"""The ACL token's file, read again whenever it changes."""

from __future__ import annotations

import logging
from pathlib import Path

from connect_proxy.consul.client import ConsulClient
from connect_proxy.secret import Secret

log = logging.getLogger("connect_proxy.snapshot")


class TokenFile:
    """Keeps a client's token what the file says. Without a path it does nothing."""

    def __init__(self, path: str, client: ConsulClient) -> None:
        self._path = Path(path) if path else None
        self._client = client
        self._seen: tuple[int, int, int] | None = None
        self._unreadable = False

    def refresh(self) -> bool:
        """Look at the file, and read it if it is another one than before.

        True: a new token is in force. A file that is missing, unreadable or empty changes nothing:
        it may be about to be replaced.
        """
        if self._path is None:
            return False
        try:
            status = self._path.stat()
            identity = (status.st_mtime_ns, status.st_ino, status.st_size)
            if identity == self._seen:
                return False
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            if not self._unreadable:
                log.warning(
                    "the token stays as it was: token file '%s' cannot be read: %s", self._path, _why(exc)
                )
            self._unreadable, self._seen = True, None
            return False
        self._unreadable, self._seen = False, identity
        token = Secret(text)
        if not token or token == self._client.access.token:
            return False
        self._client.set_token(token)
        log.info("a new ACL token was read from '%s'", self._path)
        return True


def _why(exc: OSError | UnicodeDecodeError) -> str:
    """Without the content: a decoding error would quote it."""
    return exc.strerror or type(exc).__name__ if isinstance(exc, OSError) else "it is no text"
