"""Python's OpenSSL stays away until somebody wants it, and then everything is as ever."""

import subprocess
import sys

import pytest

from support.tls_files import make_server_tls

BEFORE = """
import sys
from connect_proxy.proxy_run.postponed import postpone_openssl
postpone_openssl()
import asyncio, hashlib, hmac
def loaded():
    return sorted(sys.modules.keys() & {"_ssl", "_hashlib"})
"""

TLS_BY_ASYNCIO = """
import ssl
async def talk():
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(sys.argv[1], sys.argv[2])
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cafile=sys.argv[3])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="server.dc1.consul"
        )
        writer.write(b"hello\\n")
        print((await reader.readline()).decode().strip(), writer.get_extra_info("cipher") is not None)
        writer.close()
asyncio.run(talk())
"""

IN_THE_CLEAR = """
import socket
async def talk():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, listener.getsockname())
asyncio.run(talk())
"""

NO_TLS_SOCKET_UNNOTICED = """
import socket, ssl
async def talk():
    with socket.socket() as raw, ssl.create_default_context().wrap_socket(raw, server_hostname="x") as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", 1))
try:
    asyncio.run(talk())
except TypeError as exc:
    print(exc)
"""


def python(code: str, *words: str) -> str:
    """What it prints, in a process that imported nothing before."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEFORE + code, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_is_loaded_for_who_only_imports_it() -> None:
    assert python(IN_THE_CLEAR + "print(loaded())") == "[]"


def test_hashes_are_made_as_ever() -> None:
    code = 'print(hashlib.sha1(b"").hexdigest()[:8], hmac.compare_digest("a", "a"), loaded())'
    assert python(code) == "da39a3ee True ['_hashlib']"


def test_names_are_imported_from_it_as_ever() -> None:
    code = "from ssl import SSLContext\nimport ssl\nprint(SSLContext is ssl.SSLContext, ssl.__name__)"
    assert python(code) == "True ssl"


def test_asyncio_speaks_tls_once_somebody_wants_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = make_server_tls(tmp_path_factory.mktemp("tls"))
    words = (files.cert_file, files.key_file, files.ca_file)
    assert python(TLS_BY_ASYNCIO, *map(str, words)) == "hello True"


def test_asyncio_still_refuses_tls_sockets_where_it_has_to() -> None:
    assert "SSLSocket" in python(NO_TLS_SOCKET_UNNOTICED)


def test_modules_that_are_there_already_stay() -> None:
    code = """
import ssl, hashlib, sys
from connect_proxy.proxy_run.postponed import postpone_openssl
before = sys.modules["ssl"], sys.modules["hashlib"]
postpone_openssl()
print(before == (sys.modules["ssl"], sys.modules["hashlib"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "True"
