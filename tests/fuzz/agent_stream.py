"""Any bytes as an agent's whole answer, on a connection."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from pathlib import Path

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import AgentRequest
from connect_proxy.consul.stream_transport import StreamTransport
from connect_proxy.errors import AgentAnswerError, AgentUnreachableError
from connect_proxy.secret import NO_SECRET


class _Agent:
    """Says what it is told to, whatever it is asked, and ends the connection."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.says = b""
        self._folder = tempfile.TemporaryDirectory(prefix="cp-")
        path = str(Path(self._folder.name) / "agent")
        self._server = self.loop.run_until_complete(asyncio.start_unix_server(self._answer, path))
        self.transport = StreamTransport(AgentAccess(scheme="unix", socket_path=path))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.says)
            await writer.drain()
        writer.close()

    def close(self) -> None:
        self._server.close()
        self.loop.run_until_complete(self._server.wait_closed())
        self.loop.run_until_complete(self.transport.aclose())
        self.loop.close()
        self._folder.cleanup()


@functools.cache
def agent() -> _Agent:
    return _Agent()


def agent_says(data: bytes) -> None:
    """*data* is read as an answer, or refused with an error that names the agent."""
    speaking = agent()
    speaking.says = data
    request = AgentRequest(method="GET", path="/v1/x")
    with contextlib.suppress(AgentAnswerError, AgentUnreachableError):
        speaking.loop.run_until_complete(speaking.transport.exchange(request, token=NO_SECRET))
