"""What is looked up on the host before the start, with real sockets and small stand-in programs."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import (
    ConfigurationError,
    ConsulError,
    MissingProgramError,
    PortInUseError,
    RefusedError,
    UsageError,
)
from connect_proxy.plugin_api import ProxyContext
from connect_proxy_envoy.address import PipeAddress, SocketAddress
from connect_proxy_envoy.facts import HostFacts, gather
from connect_proxy_envoy.version import Version
from support.envoy_context import context
from support.golden import CA_FILE
from support.ports import free_port

OLD = {"Config": {"Version": "1.8.7"}, "DebugConfig": {"GRPCPort": 8502}}
NEW = {"Config": {"Version": "1.22.0"}, "xDS": {"Ports": {"Plaintext": 8502}}}
OFF = {"Config": {"Version": "1.22.0"}, "DebugConfig": {"GRPCPort": -1}}


class _ConfigEntries(BaseHTTPRequestHandler):
    """The agent's answer to the one question that is asked here: there is no such config entry."""

    entry: dict[str, Any] | None = None

    def do_GET(self) -> None:
        self.send_response(404 if self.entry is None else 200)
        self.end_headers()
        if self.path == "/v1/config/proxy-defaults/global" and self.entry is not None:
            self.wfile.write(json.dumps(self.entry).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


AGENT: dict[str, AgentAccess] = {}


@pytest.fixture(autouse=True)
def agent() -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), _ConfigEntries) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        AGENT["access"] = AgentAccess(port=server.server_address[1])
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def envoy(tmp_path: Path) -> Path:
    """A program that answers ``--version`` as Envoy does."""
    program = tmp_path / "bin/envoy"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho\necho 'envoy  version: abc/1.40.0/Clean/RELEASE/BoringSSL'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def _context(envoy: Path, agent_self: dict[str, Any] | None = OLD, **fields: Any) -> ProxyContext:
    given = {"admin_bind": "127.0.0.1:0", **fields.pop("given", {})}
    environment = {"PATH": str(envoy.parent)}
    fields.setdefault("agent", AGENT["access"])
    return context(given=given, environment=environment, agent_self=agent_self, **fields)


def test_envoy_is_found_in_path_and_asked_for_its_version(envoy: Path) -> None:
    facts = gather(_context(envoy))
    assert facts.program is not None
    assert (facts.program.path, facts.program.version) == (str(envoy), Version(1, 40, 0))


def test_an_old_consul_is_served_locally_and_the_log_says_why(
    envoy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        facts = gather(_context(envoy))
    assert facts.xds.is_local
    assert facts.grpc is None
    [line] = [message for message in caplog.messages if message.startswith("xDS by")]
    assert line.startswith("xDS by connect-proxy: Consul 1.8.7")


def test_a_proxy_in_the_catalog_is_served_by_the_agent_and_the_log_says_why(
    envoy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        facts = gather(_context(envoy, given={"node_name": "pod-1"}))
    assert facts.grpc is not None
    [line] = [message for message in caplog.messages if message.startswith("xDS by")]
    assert line.startswith("xDS by the agent: with -node-name")


def test_a_consul_with_v3_serves_envoy_itself(envoy: Path) -> None:
    facts = gather(_context(envoy, NEW))
    assert facts.grpc is not None
    assert facts.grpc.address in {
        SocketAddress(host="127.0.0.1", port=8502),
        SocketAddress(host="::1", port=8502),
    }


def test_a_token_that_may_not_read_the_agent_gets_the_agents_xds_and_a_warning(
    envoy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = gather(_context(envoy, None))
    assert not facts.xds.is_local
    assert any("conventional port 8502" in message for message in caplog.messages)


OLD_LIST = {**OLD, "xDS": {"SupportedProxies": {"envoy": ["1.13.6", "1.14.5"]}}}


@pytest.mark.parametrize(
    ("agent_self", "api", "v2"),
    [
        (OLD_LIST, "auto", True),
        (OLD_LIST, "v3", False),
        (NEW, "auto", False),
        (NEW, "v2", True),
        (OLD, "auto", False),
        (None, "auto", False),
    ],
)
def test_a_printed_bootstrap_is_v2_only_for_an_agent_that_is_known_to_be_older(
    envoy: Path, agent_self: dict[str, Any] | None, api: str, v2: bool
) -> None:
    facts = gather(_context(envoy, agent_self, bootstrap_only=True, given={"envoy_api": api}))
    assert facts.v2 is v2
    assert facts.newest_supported == "1.14.5"


def test_an_envoy_that_knows_no_v2_gets_none(envoy: Path) -> None:
    given = {"xds": "agent", "ignore_envoy_compatibility": True}
    assert gather(_context(envoy, OLD_LIST, given=given)).v2 is False


def test_what_the_bootstrap_is_made_of_is_logged_on_demand_without_values(
    envoy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"enable_config_gen_logging": True, "grpc_addr": "127.0.0.1:9"}
    config = {"envoy_tracing_json": "may be secret"}
    with caplog.at_level(logging.INFO):
        gather(_context(envoy, NEW, given=given, config=config, bootstrap_only=True))
    told = "\n".join(caplog.messages)
    assert "-grpc-addr is '127.0.0.1:9' from -grpc-addr" in told
    assert "envoy_tracing_json" in told
    assert "may be secret" not in told


def test_a_silent_grpc_port_is_said_and_no_error(envoy: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as closed:
        port = closed.getsockname()[1]
    gather(_context(envoy, NEW, given={"grpc_addr": f"127.0.0.1:{port}"}))
    assert any("nothing answers" in message for message in caplog.messages)


def test_the_bootstrap_needs_no_envoy_and_is_for_the_agent(tmp_path: Path) -> None:
    facts = gather(_context(tmp_path / "nothing/envoy", OLD, bootstrap_only=True))
    assert facts.program is None
    assert facts.grpc is not None
    assert facts.admin == SocketAddress(host="127.0.0.1", port=0)


def test_a_bootstrap_for_local_xds_is_a_usage_error(envoy: Path) -> None:
    with pytest.raises(UsageError, match="-xds local"):
        gather(_context(envoy, given={"xds": "local"}, bootstrap_only=True))


def test_a_bootstrap_for_an_agent_without_grpc_is_an_error(envoy: Path) -> None:
    with pytest.raises(ConsulError, match="gRPC disabled"):
        gather(_context(envoy, OFF, bootstrap_only=True))


def test_an_unsupported_envoy_is_refused_for_good(envoy: Path) -> None:
    agent = {**NEW, "xDS": {"Ports": {"Plaintext": 1}, "SupportedProxies": {"envoy": ["1.33.1"]}}}
    with pytest.raises(RefusedError, match=r"1\.33\.1"):
        gather(_context(envoy, agent, given={"xds": "agent"}))


def test_no_envoy_is_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="-envoy-binary"):
        gather(_context(tmp_path / "nothing/envoy"))


def test_where_no_envoy_runs_the_error_points_to_the_bootstrap(
    envoy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(MissingProgramError, match=r"'win32'.*-bootstrap"):
        gather(_context(envoy))
    assert gather(_context(envoy, bootstrap_only=True)).program is None


def test_an_envoy_that_is_not_there_is_a_missing_program(envoy: Path) -> None:
    with pytest.raises(MissingProgramError, match="/no/such/envoy"):
        gather(_context(envoy, given={"envoy_binary": "/no/such/envoy"}))


def test_a_program_that_is_no_envoy_is_said_to_be_none(envoy: Path) -> None:
    envoy.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(MissingProgramError, match="hello"):
        gather(_context(envoy))


def test_a_busy_admin_port_is_reported_with_its_owner(envoy: Path, listener: socket.socket) -> None:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(PortInUseError, match=rf"{address}.*pid \d+"):
        gather(_context(envoy, given={"admin_bind": address}))


def test_a_busy_admin_port_is_handed_over_in_a_hot_restart(envoy: Path, listener: socket.socket) -> None:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    facts = gather(_context(envoy, given={"admin_bind": address}, passthrough=("--restart-epoch", "1")))
    assert str(facts.admin) == address


def test_port_zero_becomes_a_free_port_that_is_kept_for_envoy(envoy: Path) -> None:
    admin = gather(_context(envoy)).admin
    assert isinstance(admin, SocketAddress)
    assert admin.port > 0
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((admin.host, admin.port))
    with socket.create_server((admin.host, admin.port)) as as_envoy_does:
        assert as_envoy_does.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_the_admin_api_may_be_a_unix_socket(envoy: Path, tmp_path: Path) -> None:
    facts = gather(_context(envoy, given={"admin_bind": f"unix://{tmp_path}/a.sock"}))
    assert facts.admin == PipeAddress(path=f"{tmp_path}/a.sock", mode=0o600)


def test_a_unix_socket_that_is_served_is_in_use(envoy: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(PortInUseError, match="another process answers"):
            gather(_context(envoy, given={"admin_bind": f"unix://{path}"}))


@pytest.mark.parametrize(
    "text", ["unix://relative", "unix:///" + "x" * 120, "localhost", "no.such.invalid:1"]
)
def test_an_admin_address_that_is_none_is_an_error(envoy: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="admin-bind"):
        gather(_context(envoy, given={"admin_bind": text}))


def _tls_facts(envoy: Path, **given: Any) -> HostFacts:
    access = AgentAccess(scheme="https", ca_file=str(CA_FILE))
    return gather(_context(envoy, OLD, bootstrap_only=True, agent=access, given=given))


def test_grpc_over_tls_takes_the_ca_of_the_http_api(envoy: Path) -> None:
    facts = _tls_facts(envoy)
    assert facts.grpc is not None
    assert facts.grpc.ca_pem == CA_FILE.read_text()


def test_a_ca_directory_is_read_in_order(envoy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    (folder / "b").mkdir(parents=True)
    (folder / "b/z.pem").write_text(CA_FILE.read_text())
    (folder / "a.pem").write_text(CA_FILE.read_text().rstrip())
    facts = _tls_facts(envoy, grpc_ca_path=str(folder))
    assert facts.grpc is not None
    assert facts.grpc.ca_pem == CA_FILE.read_text() * 2


def test_tls_without_any_ca_is_an_error(envoy: Path) -> None:
    with pytest.raises(ConfigurationError, match="no CA certificate is given"):
        gather(_context(envoy, OLD, bootstrap_only=True, agent=AgentAccess(scheme="https")))


@pytest.mark.parametrize("content", [None, "not a certificate", "\xff"])
def test_a_ca_file_that_is_none_is_an_error_that_names_it(
    envoy: Path, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"ca\.pem.*grpc-ca-file"):
        _tls_facts(envoy, grpc_ca_file=str(path))


def test_the_access_log_of_proxy_defaults_wins_over_the_flag_which_is_said(
    envoy: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ConfigEntries, "entry", {"AccessLogs": {"Enabled": True, "Type": "stderr"}})
    given = {"admin_access_log_path": "/var/log/admin.log"}
    facts = gather(_context(envoy, NEW, given=given, bootstrap_only=True))
    assert facts.access_logs[0]["typedConfig"]["@type"].endswith("StderrAccessLog")
    assert "-admin-access-log-path is not used" in caplog.text


def test_a_consul_that_knows_no_access_logs_is_not_asked(
    envoy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ConfigEntries, "entry", {"AccessLogs": {"Enabled": True}})
    assert gather(_context(envoy)).access_logs == ()
