"""What a user may get wrong: one clear message, the right exit code, nothing half-started, nothing left."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.agents import client_environment
from support.applications import TcpServer
from support.embedded_agent import connect_proxy_program
from support.ports import free_port
from support.processes import run
from support.real_consul import RealConsul
from support.real_parts import envoy_binary
from support.sidecars import register_pair
from support.tls_files import ServerTls, make_server_tls

pytestmark = pytest.mark.integration


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Runs of ``connect-proxy`` in an otherwise empty place."""

    place: Path
    env: dict[str, str] = field(default_factory=dict)

    def fails(self, *words: str | Path, code: int, says: Sequence[str]) -> str:
        """Run it: it has to end with *code*, one message holding all of *says*, and leave nothing."""
        env = client_environment(
            TMPDIR=str(self.place), XDG_RUNTIME_DIR=str(self.place), HOME=str(self.place), **self.env
        )
        done = run([connect_proxy_program(), *words], env=env, deadline_s=60)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        errors = [line for line in done.stderr.splitlines() if line.startswith("connect-proxy: ")]
        assert len(errors) == 1, done.stderr
        for words_wanted in says:
            assert words_wanted in errors[0], done.stderr
        assert list(self.place.iterdir()) == []
        return errors[0]


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    place = tmp_path / "place"
    place.mkdir()
    return Attempt(place=place)


def _at(attempt: Attempt, address: str, **variables: str) -> Attempt:
    return Attempt(place=attempt.place, env={"CONSUL_HTTP_ADDR": address} | variables)


BACKENDS = ["builtin", "envoy", "custom_exec"]


def _run_words(backend: str) -> list[str | Path]:
    words: list[str | Path] = ["--backend", backend, "-sidecar-for", "web"]
    if backend == "envoy":
        return [*words, "-envoy-binary", envoy_binary(), "-admin-bind", "127.0.0.1:0", "-xds", "local"]
    return [*words, "--", "true"] if backend == "custom_exec" else words


# ------------------------------------------------------------------------------- the agent


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_agent_that_is_not_there(attempt: Attempt, backend: str) -> None:
    port = free_port()
    _at(attempt, f"127.0.0.1:{port}").fails(
        *_run_words(backend), code=1, says=[f"'http://127.0.0.1:{port}'", "CONSUL_HTTP_ADDR"]
    )


def test_a_unix_socket_that_is_not_there(attempt: Attempt) -> None:
    _at(attempt, "unix:///nowhere/consul.sock").fails(
        *_run_words("builtin"), code=1, says=["/nowhere/consul.sock"]
    )


def test_http_spoken_to_an_https_port(attempt: Attempt, secure_consul: RealConsul) -> None:
    _at(attempt, f"http://{secure_consul.address}").fails(*_run_words("builtin"), code=1, says=["https://"])


def test_https_spoken_to_an_http_port(attempt: Attempt, real_consul: RealConsul) -> None:
    _at(attempt, f"https://{real_consul.address}").fails(*_run_words("builtin"), code=1, says=["http://"])


def test_an_unknown_scheme(attempt: Attempt) -> None:
    _at(attempt, "gopher://127.0.0.1:70").fails(
        *_run_words("builtin"), code=3, says=["gopher", "CONSUL_HTTP_ADDR"]
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{broken",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"220 mail.example.org ESMTP\r\n",
        b"",
    ],
    ids=["broken JSON", "JSON of another shape", "no HTTP", "nothing"],
)
def test_an_agent_that_answers_something_else(attempt: Attempt, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with TcpServer(serve=serve) as server:
        _at(attempt, f"127.0.0.1:{server.port}").fails(
            *_run_words("builtin"), code=1, says=["/v1/agent/services", "Consul agent"]
        )


# ------------------------------------------------------------------------------- permissions


@pytest.fixture(scope="module")
def acl_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("acl"), acl=True) as consul:
        register_pair(consul, web_port=1, upstream_port=free_port())
        yield consul


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_that_consul_does_not_know(attempt: Attempt, acl_consul: RealConsul, backend: str) -> None:
    token = str(uuid.uuid4())
    message = _at(attempt, acl_consul.address, CONSUL_HTTP_TOKEN=token).fails(
        *_run_words(backend), code=6, says=["token", "CONSUL_HTTP_TOKEN"]
    )
    assert token not in message


def test_a_token_that_was_deleted(attempt: Attempt, acl_consul: RealConsul) -> None:
    made = acl_consul.api.put("/v1/acl/token", {"Policies": [{"Name": "global-management"}]}).json
    assert acl_consul.api.delete(f"/v1/acl/token/{made['AccessorID']}").status == 200
    _at(attempt, acl_consul.address, CONSUL_HTTP_TOKEN=made["SecretID"]).fails(
        *_run_words("builtin"), code=6, says=["token"]
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_without_service_write(attempt: Attempt, acl_consul: RealConsul, backend: str) -> None:
    rules = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
    policy = acl_consul.api.put("/v1/acl/policy", {"Name": uuid.uuid4().hex, "Rules": rules}).json
    made = acl_consul.api.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]}).json
    _at(attempt, acl_consul.address, CONSUL_HTTP_TOKEN=made["SecretID"]).fails(
        *_run_words(backend), code=6, says=["service:write", "web"]
    )


# ------------------------------------------------------------------------------- registrations


def test_nothing_registered_for_the_service(attempt: Attempt, real_consul: RealConsul) -> None:
    _at(attempt, real_consul.address).fails(*_run_words("builtin"), code=1, says=["'web'", "register it"])


def test_several_sidecars_for_one_service(attempt: Attempt, real_consul: RealConsul) -> None:
    for number in (1, 2):
        proxy = {"DestinationServiceName": "web", "DestinationServiceID": "web"}
        definition = {"Name": "web-proxy", "ID": f"web-proxy-{number}", "Port": number}
        real_consul.api.register(definition | {"Kind": "connect-proxy", "Proxy": proxy})
    _at(attempt, real_consul.address).fails(
        *_run_words("builtin"), code=1, says=["web-proxy-1", "web-proxy-2", "-proxy-id"]
    )


def test_a_proxy_id_that_is_no_proxy(attempt: Attempt, real_consul: RealConsul) -> None:
    real_consul.api.register({"Name": "web", "Port": 8080})
    _at(attempt, real_consul.address).fails("-proxy-id", "web", code=1, says=["'web'"])


# ------------------------------------------------------------------------------- the command line


def test_an_unknown_flag_names_the_nearest(attempt: Attempt) -> None:
    attempt.fails("-sidecar-fro", "web", code=2, says=["-sidecar-fro", "-sidecar-for"])


def test_a_flag_without_its_value(attempt: Attempt) -> None:
    attempt.fails("-sidecar-for", code=2, says=["-sidecar-for"])


def test_no_proxy_named(attempt: Attempt) -> None:
    attempt.fails(code=2, says=["-sidecar-for", "-proxy-id"])


def test_an_unknown_backend_names_the_known_ones(attempt: Attempt) -> None:
    attempt.fails(
        "--backend",
        "nosuch",
        "-sidecar-for",
        "web",
        code=2,
        says=["nosuch", "builtin", "custom_exec", "envoy"],
    )


def test_a_duration_that_is_none(attempt: Attempt) -> None:
    attempt.fails("-sidecar-for", "web", "-wait", "soon", code=2, says=["soon", "-wait"])


def test_a_boolean_that_is_none_never_switches_verification_off(attempt: Attempt) -> None:
    broken = Attempt(place=attempt.place, env={"CONSUL_HTTP_SSL_VERIFY": "flase"})
    broken.fails("-sidecar-for", "web", code=3, says=["flase", "CONSUL_HTTP_SSL_VERIFY"])


# ------------------------------------------------------------------------------- ports


@pytest.mark.parametrize("backend", ["builtin", "envoy"])
def test_a_public_port_in_use(attempt: Attempt, real_consul: RealConsul, backend: str) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    port = real_consul.api.get("/v1/agent/service/web-sidecar-proxy").json["Port"]
    with contextlib.closing(socket.create_server(("0.0.0.0", port))):
        _at(attempt, real_consul.address).fails(*_run_words(backend), code=1, says=[str(port), "in use"])


@pytest.mark.parametrize("backend", ["builtin", "envoy"])
def test_an_upstream_port_in_use(attempt: Attempt, real_consul: RealConsul, backend: str) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        register_pair(real_consul, web_port=1, upstream_port=port)
        _at(attempt, real_consul.address).fails(
            "-sidecar-for", "api", code=1, says=[f"127.0.0.1:{port}", "in use"]
        )


# ------------------------------------------------------------------------------- certificates and files


@pytest.fixture(scope="module")
def secure_tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure_consul(tmp_path_factory: pytest.TempPathFactory, secure_tls: ServerTls) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("secure"), tls=secure_tls) as consul:
        yield consul


@pytest.mark.parametrize("name", ["CONSUL_CACERT", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"])
def test_a_certificate_file_that_is_missing(
    attempt: Attempt, secure_consul: RealConsul, secure_tls: ServerTls, name: str
) -> None:
    env = _tls_environment(secure_tls) | {name: "/nowhere/file.pem"}
    _at(attempt, secure_consul.url, **env).fails(*_run_words("builtin"), code=3, says=["/nowhere/file.pem"])


@pytest.mark.parametrize("name", ["CONSUL_CACERT", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"])
def test_a_certificate_file_that_holds_something_else(
    attempt: Attempt, secure_consul: RealConsul, secure_tls: ServerTls, name: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate\n")
    env = _tls_environment(secure_tls) | {name: str(wrong)}
    _at(attempt, secure_consul.url, **env).fails(*_run_words("builtin"), code=3, says=[str(wrong)])


def test_a_certificate_and_a_key_that_do_not_belong_together(
    attempt: Attempt, secure_consul: RealConsul, secure_tls: ServerTls
) -> None:
    env = _tls_environment(secure_tls) | {"CONSUL_CLIENT_KEY": str(secure_tls.key_file)}
    _at(attempt, secure_consul.url, **env).fails(
        *_run_words("builtin"), code=3, says=[str(secure_tls.key_file), str(secure_tls.client_cert_file)]
    )


def test_a_certificate_without_its_key(
    attempt: Attempt, secure_consul: RealConsul, secure_tls: ServerTls
) -> None:
    env = _tls_environment(secure_tls)
    del env["CONSUL_CLIENT_KEY"]
    _at(attempt, secure_consul.url, **env).fails(*_run_words("builtin"), code=3, says=["-client-key"])


def test_an_agent_of_another_ca(attempt: Attempt, secure_consul: RealConsul, tmp_path: Path) -> None:
    env = _tls_environment(make_server_tls(tmp_path / "other"))
    _at(attempt, secure_consul.url, **env).fails(*_run_words("builtin"), code=1, says=["certificate"])


def _tls_environment(tls: ServerTls) -> dict[str, str]:
    return {
        "CONSUL_CACERT": str(tls.ca_file),
        "CONSUL_CLIENT_CERT": str(tls.client_cert_file),
        "CONSUL_CLIENT_KEY": str(tls.client_key_file),
    }


def test_a_token_file_that_is_missing(attempt: Attempt) -> None:
    attempt.fails(
        "-sidecar-for",
        "web",
        "-token-file",
        "/nowhere/token",
        code=3,
        says=["/nowhere/token", "-token-file"],
    )


def test_a_settings_file_that_is_missing_or_wrong(attempt: Attempt, tmp_path: Path) -> None:
    attempt.fails("-sidecar-for", "web", "-settings", "/nowhere/s.toml", code=3, says=["/nowhere/s.toml"])
    wrong = tmp_path / "s.toml"
    wrong.write_text("sidecar-fro = 'web'\n")
    attempt.fails("-settings", wrong, code=3, says=[str(wrong), "sidecar-fro", "sidecar-for"])


# ------------------------------------------------------------------------------- programs


def test_an_envoy_that_is_not_there(attempt: Attempt, real_consul: RealConsul) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    _at(attempt, real_consul.address).fails(
        *("--backend", "envoy", "-sidecar-for", "web", "-envoy-binary", "/nowhere/envoy"),
        code=4,
        says=["/nowhere/envoy"],
    )


def test_a_command_that_is_not_there(attempt: Attempt, real_consul: RealConsul) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    _at(attempt, real_consul.address).fails(
        "--backend",
        "custom_exec",
        "-sidecar-for",
        "web",
        "--",
        "no-such-program",
        code=4,
        says=["no-such-program"],
    )


def test_output_that_nobody_reads_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [connect_proxy_program(), "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
    assert b"Traceback" not in done.stderr
