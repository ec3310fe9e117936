"""Our ends of a TLS connection, and any bytes from the other end, on both engines."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from typing import Final

from connect_proxy_builtin.policy import TlsMaterial, tls_material
from connect_proxy_builtin.tls import openssl_library
from connect_proxy_builtin.tls.channel import CHUNK, RECORD, SLICE, TlsChannel
from connect_proxy_builtin.tls.contexts import tls_generation
from connect_proxy_builtin.tls.engine import Generation, openssl_generation
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa

NOTHING_YET = memoryview(b"")
SCRATCH: Final = memoryview(bytearray(SLICE))


@functools.cache
def _material() -> TlsMaterial:
    ca = MeshCa()
    return tls_material(leaf_of(ca.leaf("web"), "web"), roots_of(ca))


@functools.cache
def _engines() -> tuple[Generation, ...]:
    library = openssl_library.bundled()
    bundled = (openssl_generation(library, 1, _material()),) if library is not None else ()
    return (*bundled, tls_generation(1, _material()))


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


def server_hears(data: bytes) -> None:
    """*data* is what a caller says instead of a ClientHello."""
    for engine in _engines():
        with _pair() as (near, _):
            _shake(engine.accepted(near, hello=NOTHING_YET), data)


def caller_hears(data: bytes) -> None:
    """*data* is what an instance answers to our ClientHello."""
    for engine in _engines():
        with _pair() as (near, _):
            channel = engine.dialled(near, resume=None)
            channel.handshake()
            _shake(channel, data)


def _shake(channel: TlsChannel, data: bytes) -> None:
    """In two pieces: half a message has to wait for its other half."""
    middle = len(data) // 2
    with contextlib.suppress(OSError):
        for piece in (data[:middle], data[middle:]):
            if piece:
                channel.incoming.write(memoryview(piece))
                assert not channel.handshake(), "nobody who knows no key can finish a handshake"


def stream_hears(data: bytes) -> None:
    """*data* comes after a handshake, where records are expected."""
    for engine in _engines():
        with _pair() as (near, far):
            caller, server = engine.dialled(near, resume=None), engine.accepted(far, hello=NOTHING_YET)
            _connect(caller, server)
            incoming, opened = memoryview(bytearray(CHUNK)), memoryview(bytearray(CHUNK + 2 * RECORD))
            incoming[: len(data)] = data
            with contextlib.suppress(OSError):
                assert server.records(incoming, opened).open(len(data)) == 0, "it knew the key"


def _connect(caller: TlsChannel, server: TlsChannel) -> None:
    caller.handshake()
    _until(server, server.handshake)
    _until(caller, caller.handshake)
    _until(server, server.handshake)


def _until(channel: TlsChannel, step: Callable[[], bool]) -> None:
    count = channel.sock.recv_into(SCRATCH)
    channel.incoming.write(SCRATCH[:count])
    step()


@functools.cache
def server_flight() -> bytes:
    """What a server answers to a ClientHello, in TLS 1.3."""
    engine = _engines()[-1]
    with _pair() as (near, far):
        caller, server = engine.dialled(near, resume=None), engine.accepted(far, hello=NOTHING_YET)
        caller.handshake()
        _until(server, server.handshake)
        return near.recv(SLICE)
