"""Listening sockets that the process before this one left to it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from connect_proxy.errors import ConfigurationError

log = logging.getLogger("connect_proxy.builtin")

STATUS = "status"
"""The listener of the status; the others are named by what they are for and where they are."""


class Inherited:
    """Each is taken once."""

    def __init__(self, descriptors: Mapping[str, int]) -> None:
        self._descriptors = dict(descriptors)

    def take(self, name: str) -> socket.socket | None:
        """The socket of that name; None if there is none. Raises ConfigurationError if it is none."""
        descriptor = self._descriptors.pop(name, None)
        if descriptor is None:
            return None
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError as exc:
            message = f"the inherited descriptor {descriptor} of {name!r} is no socket: {exc.strerror}"
            raise ConfigurationError(message) from exc
        log.debug("%r is taken over", name)
        return sock

    def close_rest(self) -> None:
        """What is not wanted any more."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
