"""How much a proxy logs: connect-proxy itself, and the data plane that it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from connect_proxy.errors import ProxyControlError, UsageError
from connect_proxy.plugin_api import Supervision
from connect_proxy.settings.fields import LOG_LEVELS

log = logging.getLogger("connect_proxy.run")

VARIABLE: Final = "CONNECT_PROXY_DATA_PLANE_LOG_LEVEL"
"""Set by the agent of managed proxies: a data plane with logs of its own has the level of all others. In
the foreground its level is its own affair."""


class LogLevel:
    """The level that was ordered; a data plane that is started anew is told it again."""

    def __init__(
        self,
        environment: Mapping[str, str],
        supervision: Callable[[], Supervision | None],
        *,
        is_up: Callable[[], bool] = lambda: True,
    ) -> None:
        """*is_up*: whether the data plane is; when it comes up, :meth:`repeat` is called."""
        self._supervision = supervision
        self._is_up = is_up
        self._ordered = environment.get(VARIABLE, "")

    async def order(self, level: str) -> None:
        """From now on *level* counts. Raises UsageError for what is none, and ProxyControlError for a data
        plane that is up and does not take it: one that is not is told once it is."""
        chosen = canonical(level)
        root = logging.getLogger()
        before = root.level, self._ordered
        root.setLevel(chosen)
        self._ordered = chosen
        try:
            await self._tell(chosen)
        except ProxyControlError:
            if self._is_up():
                raise
        if before != (root.level, chosen):
            log.info("the log level is %s now", chosen)

    async def repeat(self) -> None:
        """The data plane is up: tell it what was ordered, if anything was."""
        if self._ordered:
            try:
                await self._tell(canonical(self._ordered))
            except ProxyControlError as exc:
                log.warning("the data plane's log level is not %s: %s", self._ordered, exc)

    async def _tell(self, level: str) -> None:
        supervision = self._supervision()
        if supervision is not None and supervision.set_log_level is not None:
            await supervision.set_log_level(level)


def canonical(level: str) -> str:
    """A level's own name. Raises UsageError for what is none."""
    if level not in LOG_LEVELS:
        message = f'"{level}" is no log level; use one of {", ".join(LOG_LEVELS)}'
        raise UsageError(message)
    return "ERROR" if level == "ERR" else level
