"""Trouble that lasts: said when it begins, when it changes and when it is over, not at every try."""

from __future__ import annotations

import logging

log = logging.getLogger("connect_proxy.managed")


class Troubles:
    """What was said last of each thing that goes wrong."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def tell(self, key: str, text: str) -> None:
        """Of what *key* stands for, *text* is wrong now."""
        if self._said.get(key) != text:
            self._said[key] = text
            log.warning("%s", text)

    def over(self, key: str, text: str) -> None:
        """It is not any more; *text* is said if anything was said of it."""
        if self._said.pop(key, None) is not None:
            log.info("%s", text)
