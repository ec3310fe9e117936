"""An HTTP/1.1 server that answers every request with six bytes, on one epoll loop: load for wrk.

Knows keep-alive and ``Connection: close``, and nothing else. Prints its port.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys

BODY = b"hello\n"
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def main() -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    open_sockets: dict[int, socket.socket] = {}
    while True:
        for fd, _mask in epoll.poll():
            if fd == listener.fileno():
                accept_all(listener, epoll, open_sockets)
            elif not answer(open_sockets[fd]):
                epoll.unregister(fd)
                open_sockets.pop(fd).close()


def accept_all(
    listener: socket.socket, epoll: select.epoll, open_sockets: dict[int, socket.socket]
) -> None:
    """Take everybody who waits."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            open_sockets[sock.fileno()] = sock
            epoll.register(sock.fileno(), select.EPOLLIN)


def answer(sock: socket.socket) -> bool:
    """Answer one request; whether the connection goes on."""
    try:
        request = sock.recv(4096)
        if not request:
            return False
        last = b"Connection: close" in request
        sock.send(LAST if last else KEPT)
    except OSError:
        return False
    return not last


if __name__ == "__main__":
    main()
