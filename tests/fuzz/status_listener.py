"""The listener of metrics and status, and any bytes as a request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connect_proxy_builtin.inheritance import Inherited
from connect_proxy_builtin.policy import SocketAddress
from connect_proxy_builtin.status_server import serving


class _Listener:
    """It serves as long as this process lives."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self._folder = tempfile.TemporaryDirectory(prefix="cp-")
        self.path = str(Path(self._folder.name) / "status")
        self.failures: list[object] = []
        self._open = contextlib.AsyncExitStack()
        serve = serving(SocketAddress(path=self.path), _status, Inherited({}))
        self.loop.run_until_complete(self._open.enter_async_context(serve))

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.failures.append(context.get("exception") or context["message"])

    def close(self) -> None:
        self.loop.run_until_complete(self._open.aclose())
        self.loop.close()
        self._folder.cleanup()


async def _status() -> Mapping[str, Any]:
    return {"ready": True, "certificate": {"valid": True}}


@functools.cache
def listener() -> _Listener:
    return _Listener()


def status_listener_hears(data: bytes) -> None:
    """*data* is a whole connection's; what comes back is HTTP or nothing."""
    served = listener()
    answer = served.loop.run_until_complete(_exchange(served.path, data))
    assert answer[:9] in {b"", b"HTTP/1.1 "}
    assert not served.failures, served.failures


async def _exchange(path: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        return b""
    finally:
        writer.close()
