"""The DNS listeners: UDP and TCP on one port. A thin shell around the resolver."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rrset

from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.errors import PortInUseError
from connect_proxy.serving.listeners import listen_tcp, listen_udp

_UDP_SIZE = 512
"""Bytes that a client without EDNS takes (RFC 1035)."""
_TCP_SIZE = 65535
_IDLE_SECONDS = 10.0
_ATTEMPTS = 20
_log = logging.getLogger("connect_proxy.dev_agent.dns")


class DnsServer:
    """Both listeners. ``start`` returns the port."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen on *host*. Port 0 picks one that is free for both. Raises PortInUseError."""
        stream, datagram = _listen_both(host, port)
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_stream, sock=stream)
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._resolver), sock=datagram
        )
        return int(stream.getsockname()[1])

    async def stop(self) -> None:
        """Close both listeners and every connection."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                answer = respond(self._resolver, wire, over_tcp=True)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own transport does not derive from the class that documents it.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = respond(self._resolver, data, over_tcp=False)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def respond(resolver: Resolver, wire: bytes, *, over_tcp: bool) -> bytes | None:
    """The answer to one message. None for what is no DNS query: it gets no answer."""
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error) as exc:
        _log.debug("not a DNS message: %s", exc)
        return None
    if query.flags & dns.flags.QR:
        return None
    size = _TCP_SIZE if over_tcp else max(_UDP_SIZE, query.payload if query.edns >= 0 else 0)
    return _fitted(resolver.answer(query), size)


def _fitted(response: dns.message.Message, size: int) -> bytes:
    """The response in at most *size* bytes: additional records go first, then answers, with TC set."""
    while True:
        try:
            return response.to_wire(max_size=size)
        except dns.exception.TooBig:
            if response.additional:
                response.additional.clear()
                continue
            response.flags |= dns.flags.TC
            response.answer[-1:] = _without_last(response.answer[-1])


def _without_last(records: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    """The set with one record less; no set at all if that was the only one."""
    rest = list(records)[:-1]
    return [dns.rrset.from_rdata_list(records.name, records.ttl, rest)] if rest else []


def _listen_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same port. A picked TCP port can be taken for UDP: try others."""
    for attempt in range(_ATTEMPTS):
        stream = listen_tcp(host, port, what="DNS")
        try:
            return stream, listen_udp(host, stream.getsockname()[1], what="DNS")
        except PortInUseError:
            stream.close()
            if port or attempt == _ATTEMPTS - 1:
                raise
    message = "unreachable: the last attempt raises"
    raise AssertionError(message)
