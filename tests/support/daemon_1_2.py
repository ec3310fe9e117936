"""A custom managed proxy as one was written for Consul 1.2: it knows nothing of connect-proxy.

Who it is and its token come from CONNECT_PROXY_ID and CONNECT_PROXY_TOKEN, its configuration from
``/v1/agent/connect/proxy/:id``, its certificates from ``/v1/agent/connect/ca``. Standard library only.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import ssl
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

AGENT = f"http://{os.environ['CONSUL_HTTP_ADDR']}"
TOKEN = os.environ["CONNECT_PROXY_TOKEN"]


def ask(path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(AGENT + path, data=data, headers={"X-Consul-Token": TOKEN})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def contexts(service: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    leaf = ask(f"/v1/agent/connect/ca/leaf/{service}")
    roots = "".join(root["RootCert"] for root in ask("/v1/agent/connect/ca/roots")["Roots"])
    folder = tempfile.mkdtemp()
    try:
        pem = Path(folder) / "leaf.pem"
        pem.write_text(leaf["CertPEM"] + leaf["PrivateKeyPEM"])
        made = []
        for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            context = ssl.SSLContext(protocol)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_cert_chain(pem)
            context.load_verify_locations(cadata=roots)
            made.append(context)
        return made[0], made[1]
    finally:
        shutil.rmtree(folder)


def uri_of(connection: ssl.SSLSocket) -> str:
    certificate: Any = connection.getpeercert()
    return str(next(value for kind, value in certificate["subjectAltName"] if kind == "URI"))


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def relay(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()
    one.close()
    other.close()


def serve(address: tuple[str, int], handle: Callable[[socket.socket], None]) -> None:
    def attempt(connection: socket.socket) -> None:
        try:
            handle(connection)
        except OSError:
            connection.close()

    listener = socket.create_server(address)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=attempt, args=(connection,), daemon=True).start()


def main() -> None:
    view = ask(f"/v1/agent/connect/proxy/{os.environ['CONNECT_PROXY_ID']}")
    config, service = view["Config"], view["TargetServiceName"]
    accepting, connecting = contexts(service)
    host, _, port = config["local_service_address"].rpartition(":")

    def from_the_mesh(connection: socket.socket) -> None:
        secured = accepting.wrap_socket(connection, server_side=True)
        caller = {"Target": service, "ClientCertURI": uri_of(secured), "ClientCertSerial": ""}
        if not ask("/v1/agent/connect/authorize", caller)["Authorized"]:
            secured.close()
            return
        relay(secured, socket.create_connection((host, int(port))))

    def to_upstream(name: str, connection: socket.socket) -> None:
        entry = ask(f"/v1/health/connect/{name}")[0]
        address = entry["Service"]["Address"] or entry["Node"]["Address"]
        reached = socket.create_connection((address, entry["Service"]["Port"]))
        secured = connecting.wrap_socket(reached)
        if not uri_of(secured).endswith(f"/svc/{name}"):
            secured.close()
            raise OSError("the peer is another service")
        relay(connection, secured)

    for upstream in config.get("upstreams", []):
        name, local = upstream["destination_name"], ("127.0.0.1", upstream["local_bind_port"])
        handle = functools.partial(to_upstream, name)
        threading.Thread(target=serve, args=(local, handle), daemon=True).start()
    serve((config["bind_address"], config["bind_port"]), from_the_mesh)


if __name__ == "__main__":
    main()
