"""A path to an agent that can be made to fail: in between, TCP is passed on, or answered with a fault."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

PASS: Final = None
SERVER_ERROR: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nno leader"
GARBAGE: Final = b"\x00\xffnot HTTP at all\r\n\r\n" * 20
HALF_AN_ANSWER: Final = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"Roots": ['
)
WRONG_JSON: Final = b'HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 12\r\n\r\n["no", 17.5]'
CUT: Final = b""
TIMEOUT_S: Final = 60.0


class FaultyPath:
    """Listens on a free port, in front of *target* (host:port). Use as a context manager."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._answer: bytes | None = PASS
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.connections = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def answer(self, fault: bytes | None) -> None:
        """From now on; what is open is cut."""
        self._answer = fault
        self._cut_all()

    def _cut_all(self) -> None:
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _spawn(target: object, *args: object) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            self._spawn(self._serve, connection, self._answer)

    def _serve(self, connection: socket.socket, fault: bytes | None) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(TIMEOUT_S)
            if fault is None:
                self._pass_on(connection)
            elif connection.recv(65536):
                connection.sendall(fault)
        with self._lock:
            self._open.discard(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        with socket.create_connection(self._target, timeout=TIMEOUT_S) as there:
            there.settimeout(None)
            with self._lock:
                self._open.add(there)
            back = threading.Thread(target=_pump, args=(there, connection), daemon=True)
            back.start()
            _pump(connection, there)
            back.join(TIMEOUT_S)
            with self._lock:
                self._open.discard(there)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
