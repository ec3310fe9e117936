"""The service of the demo: a plain HTTP server that knows nothing of the mesh.

    python docs/demo/web.py PORT

``/`` answers with a greeting, ``/bytes/N`` with N zero bytes. It listens on loopback only: its
sidecar is the way in.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = bytes(256 * 1024)


class Web(BaseHTTPRequestHandler):
    """Answers GET, keeps connections open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The greeting, or as many bytes as asked for."""
        _, kind, *rest = self.path.split("/")
        if kind == "bytes" and rest and rest[0].isdigit():
            self.answer_bytes(int(rest[0]))
            return
        greeting = b"hello from web\n"
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(greeting)))
        self.end_headers()
        self.wfile.write(greeting)

    def answer_bytes(self, wanted: int) -> None:
        """*wanted* zero bytes."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(wanted))
        self.end_headers()
        with suppress(ConnectionError):  # the client has seen enough
            while wanted > 0:
                wanted -= self.wfile.write(BLOCK[: min(wanted, len(BLOCK))])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the demo's own words are on the terminal."""


class Server(ThreadingHTTPServer):
    """Room for the load of the measurement."""

    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Web).serve_forever()
