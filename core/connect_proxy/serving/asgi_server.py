"""An ASGI application on listening sockets. The only module that knows uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_SHUTDOWN_SECONDS = 2
"""How long uvicorn waits for answers under way: blocked queries have ended before."""


class AsgiServer:
    """Serves an application on sockets that are listening already."""

    def __init__(self, app: ASGIApp, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            loop="none",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            timeout_keep_alive=60,
        )
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when requests are answered."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets), name="http server")
        while not self._server.started:
            if self._task.done():
                await self._task
                message = "the HTTP server ended while it started"
                raise RuntimeError(message)
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Returns when all connections are closed."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


class _QuietServer(uvicorn.Server):
    """uvicorn without signal handlers: signals belong to the program around."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
