"""The applications behind sidecars in a test: real small servers on threads, and what talks to them."""

from __future__ import annotations

import contextlib
import errno
import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

TIMEOUT_S = 60.0


@dataclass(kw_only=True)
class TcpServer:
    """Accepts on a free port and gives each connection to *serve* on a thread of its own.

    ``accepted`` counts the connections that arrived: a proxy that refuses a caller must leave it alone.
    It may lag behind what others see; :meth:`arrived` does not.
    """

    serve: Callable[[socket.socket], None]
    host: str = "127.0.0.1"
    accepted: int = field(default=0, init=False)
    _listener: socket.socket = field(init=False, repr=False)
    _open: set[socket.socket] = field(default_factory=set, init=False, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False, repr=False)
    _probes: dict[Any, threading.Event] = field(default_factory=dict, init=False, repr=False)
    """By the address that they come from."""

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # shutdown, not close: it wakes the thread that is in accept or recv.
        for opened in (self._listener, *tuple(self._open)):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def arrived(self) -> int:
        """``accepted``, once all that arrived up to now is counted."""
        turn = threading.Event()
        with socket.socket(self._listener.family) as probe:
            probe.bind((self.host, 0))
            self._probes[probe.getsockname()] = turn
            probe.connect((self.host, self.port))
            # They are taken in order: when it is the probe's turn, those before it have been counted.
            assert turn.wait(TIMEOUT_S), "nobody accepts any more"
        return self.accepted

    def _spawn(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, caller = self._listener.accept()
            except OSError:
                return
            if turn := self._probes.pop(caller, None):
                connection.close()
                turn.set()
                continue
            self.accepted += 1
            self._open.add(connection)
            self._spawn(self._handle, connection)

    def _handle(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.serve(connection)
        self._open.discard(connection)


def echo_server(host: str = "127.0.0.1") -> TcpServer:
    """Sends back what arrives, at once; ends when the caller has ended."""

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)

    return TcpServer(serve=serve, host=host)


def half_close_server(host: str = "127.0.0.1") -> TcpServer:
    """Reads to the caller's end of stream, then answers ``got N bytes`` and ends: needs half-close."""

    def serve(connection: socket.socket) -> None:
        count = 0
        while data := connection.recv(65536):
            count += len(data)
        connection.sendall(f"got {count} bytes".encode())

    return TcpServer(serve=serve, host=host)


def greeting_server(greeting: bytes, host: str = "127.0.0.1") -> TcpServer:
    """Speaks first, with *greeting*, then echoes: tells which instance answered."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(greeting)
        while data := connection.recv(65536):
            connection.sendall(data)

    return TcpServer(serve=serve, host=host)


@contextlib.contextmanager
def http_server(body: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    """Answers every GET and POST with 200 and *body*; the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)


def exchange(port: int, data: bytes, *, host: str = "127.0.0.1") -> bytes:
    """Send *data*, end the stream, and read all that comes back. b"" also where it was refused."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return _read_all(connection)
    except ConnectionError:
        return b""
    except OSError as exc:
        if exc.errno == errno.ENOTCONN:  # reset before the shutdown
            return b""
        raise


def ask(port: int, data: bytes, *, host: str = "127.0.0.1") -> bytes:
    """Send *data* and read as many bytes back, without ending the stream; fewer where it was refused.

    For proxies that end both directions at the first end of stream, as Consul's own does.
    """
    got = b""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(data)
            while len(got) < len(data) and (more := connection.recv(65536)):
                got += more
    except ConnectionError:
        pass
    return got


def http_get(
    port: int,
    path: str = "/",
    *,
    host: str = "127.0.0.1",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body; (0, b"") where the connection was refused or cut."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except (ConnectionError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends or cuts the connection; True once it has."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def _read_all(connection: socket.socket) -> bytes:
    got = b""
    while more := connection.recv(65536):
        got += more
    return got
