"""A token that is handed in stays where it was put: in no other argv, no log and no file."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import client_environment
from support.consul_api import ConsulApi
from support.embedded_agent import connect_proxy_program
from support.ports import free_port
from support.processes import Program, run
from support.real_consul import RealConsul
from support.real_parts import envoy_binary
from support.sidecars import register_pair

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secured_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    """ACLs, default deny; services web and api registered with the management token."""
    with RealConsul(folder=tmp_path_factory.mktemp("consul"), acl=True, grpc=True) as consul:
        register_pair(consul, web_port=1, upstream_port=free_port())
        yield consul


@pytest.fixture
def token(secured_consul: RealConsul) -> str:
    """A token that may run the sidecar of api, of a value that stands nowhere else."""
    rules = (
        'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
        'agent_prefix "" { policy = "read" }'
        'service "api" { policy = "write" } service "api-sidecar-proxy" { policy = "write" }'
    )
    policy = secured_consul.api.put("/v1/acl/policy", {"Name": uuid.uuid4().hex, "Rules": rules}).json
    secret = str(uuid.uuid4())
    body = {"SecretID": secret, "Policies": [{"ID": policy["ID"]}]}
    answer = secured_consul.api.put("/v1/acl/token", body)
    assert answer.status == 200, answer.text
    return secret


def _descendants(pid: int) -> list[int]:
    """All that the process started, and what those started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *_descendants(child))]


def _shown_by_processes(token: str, *, but: int | None) -> list[tuple[int, str]]:
    """All processes on this machine that have *token* in their words or their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            # Other people's, and those that have just ended.
            with contextlib.suppress(OSError):
                if int(folder.name) != but and token.encode() in (folder / name).read_bytes():
                    found.append((int(folder.name), name))
    return found


def _writes_core_files(pid: int) -> bool:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    [soft] = [line.split()[4] for line in limits if line.startswith("Max core file size")]
    return soft != "0"


ADMIN_PAGES = ("/config_dump", "/server_info", "/certs", "/clusters", "/init_dump", "/stats")


def _files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_fifo())


@pytest.mark.parametrize("source", ["environment", "file", "flag"])
@pytest.mark.parametrize("backend", ["builtin", "envoy-local", "envoy-agent"])
def test_the_token_stays_where_it_was_put(
    secured_consul: RealConsul, token: str, source: str, backend: str, tmp_path: Path
) -> None:
    scratch, kept, admin = tmp_path / "scratch", tmp_path / "kept", free_port()
    for folder in (scratch, kept):
        folder.mkdir()
    env = client_environment(
        CONSUL_HTTP_ADDR=secured_consul.address,
        TMPDIR=str(scratch),
        XDG_RUNTIME_DIR=str(scratch),
        HOME=str(scratch),
    )
    argv: list[str | Path] = [connect_proxy_program(), "-sidecar-for", "api", "-log-level", "TRACE"]
    if backend == "builtin":
        argv += ["--backend", "builtin"]
    else:
        argv += ["--backend", "envoy", "-envoy-binary", envoy_binary()]
        argv += ["-admin-bind", f"127.0.0.1:{admin}"]
        argv += ["-xds", backend.removeprefix("envoy-"), "-grpc-addr", secured_consul.grpc_address]
        argv += ["-ignore-envoy-compatibility"]
    if source == "environment":
        env["CONSUL_HTTP_TOKEN"] = token
    elif source == "flag":
        argv += ["-token", token]
    else:
        (kept / "token").write_text(token + "\n")
        argv += ["-token-file", kept / "token"]
    with Program(argv, folder=tmp_path / "logs", env=env, name=backend) as program:
        running = "starting main dispatch loop" if backend == "envoy-agent" else "connect_proxy.run: ready"
        program.wait_for_output(running)
        ours = [program.pid, *_descendants(program.pid)]
        assert len(ours) > 1 or backend != "envoy-local"
        # It was handed to connect-proxy, which is gone where Envoy took its place.
        given_to = None if backend == "envoy-agent" else program.pid
        assert _shown_by_processes(token, but=given_to) == []
        assert not any(_writes_core_files(pid) for pid in ours)
        if backend == "envoy-local":
            api = ConsulApi(address=f"127.0.0.1:{admin}")
            pages = [api.request("GET", page) for page in ADMIN_PAGES]
            assert all(page.status == 200 and token not in page.text for page in pages)
        for path in _files(scratch, tmp_path / "logs"):
            assert token.encode() not in path.read_bytes(), path
        program.end()
    assert token not in program.output
    assert list(_files(scratch)) == []


def test_bootstrap_masks_what_is_not_needed_to_start(secured_consul: RealConsul, token: str) -> None:
    """custom_exec prints the environment it would give; the secrets in it are masked."""
    argv: list[str | Path] = [
        connect_proxy_program(),
        "--backend",
        "custom_exec",
        "-sidecar-for",
        "api",
        "-bootstrap",
    ]
    env = client_environment(CONSUL_HTTP_ADDR=secured_consul.address, CONSUL_HTTP_TOKEN=token)
    done = run([*argv, "--", "true"], env=env)
    assert done.returncode == 0, done.stderr
    assert "CONNECT_PROXY_TOKEN" in done.stdout
    assert token not in done.stdout + done.stderr
