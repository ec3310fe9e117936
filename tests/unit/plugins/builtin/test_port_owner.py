from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from connect_proxy_builtin.port_owner import port_owner
from support.ports import free_port
from support.processes import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_we_have_ourselves_is_told_as_that(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        said = f"another listener of this very process (pid {os.getpid()})"
        assert port_owner(server.getsockname()[1]) == said


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with subprocess.Popen(["sleep", "600"], pass_fds=[server.fileno()]) as holder:
            try:
                server.close()
                wait_until(lambda: port_owner(port) == f"sleep (pid {holder.pid})", "its name")
            finally:
                holder.kill()


def test_nobody_holds_a_free_port() -> None:
    assert port_owner(free_port()) == ""


def test_a_client_is_no_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        assert port_owner(client.getsockname()[1]) == ""
        client.close()
