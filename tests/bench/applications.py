"""The applications behind the sidecars: fast enough that the proxies are the bottleneck."""

from __future__ import annotations

import contextlib
import enum
import functools
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.ports import free_port
from support.processes import Program


class Application(enum.Enum):
    """By the name of its service."""

    HTTP = "http"
    IPERF3 = "iperf3"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Mapping[Application, int]]:
    """Both applications on free ports of 127.0.0.1."""
    ports = {application: free_port() for application in Application}
    with contextlib.ExitStack() as stack:
        for application, argv in (
            (Application.HTTP, nginx(folder / "nginx", ports[Application.HTTP])),
            (Application.IPERF3, ["iperf3", "-s", "-p", str(ports[Application.IPERF3])]),
        ):
            program = Program(argv, folder=folder, name=application.value)
            stack.enter_context(program)
            listens = functools.partial(_listens, ports[application])
            program.wait_for(listens, f"{program.name} on its port")
        yield ports


def nginx_program() -> str | None:
    """Where nginx is; not every user has the folder of system programs in PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def nginx(folder: Path, port: int) -> list[str]:
    """The command of an nginx that answers everything with a body of six bytes."""
    program = nginx_program()
    assert program is not None, "checked at the start"
    (folder / "temporary").mkdir(parents=True)
    path = folder / "nginx.conf"
    path.write_text(nginx_configuration(folder, port))
    return [program, "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]


def nginx_configuration(folder: Path, port: int) -> str:
    """One process in the foreground, no log, connections kept as long as the client likes."""
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/temporary/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
master_process off;
pid {folder}/nginx.pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
{temporary}
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 "hello\\n"; }}
  }}
}}
"""


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
