"""A service that tells its callers who they are: the identity that their TLS handshake proved.

    python docs/demo/witness.py PORT

It takes part in the mesh without a sidecar, with a leaf certificate of its own for the service
``witness``. The agent is the one of CONSUL_HTTP_ADDR.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from contextlib import suppress

from agent_api import agent_from_environment
from identity import proved_identity, tls_contexts

TIMEOUT_S = 5.0


def testify(client: socket.socket, accepting: ssl.SSLContext) -> None:
    """Answer one HTTP request with the caller's identity."""
    client.settimeout(TIMEOUT_S)
    with accepting.wrap_socket(client, server_side=True) as secure:
        secure.recv(64 * 1024)
        identity = proved_identity(secure).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(identity)}\r\nConnection: close\r\n\r\n"
        secure.sendall(head.encode() + identity)


def main() -> None:
    """Serve one caller after the other, until ended by a signal."""
    accepting, _ = tls_contexts(agent_from_environment(os.environ), "witness")
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        while True:
            client, _ = listener.accept()
            with client, suppress(OSError):
                testify(client, accepting)


if __name__ == "__main__":
    main()
