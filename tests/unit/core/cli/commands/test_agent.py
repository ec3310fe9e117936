"""The embedded agent from the command line."""

import json
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

from connect_proxy.cli.agent import dev
from connect_proxy.cli.commands import agent
from connect_proxy.dev_agent.records import Node
from connect_proxy.dev_agent.storage.kept import KeptAgent, KeptAuthority
from connect_proxy.errors import UsageError
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.sources import defaults
from support.agents import client_environment
from support.processes import Program, run


def settings(**flags: str) -> ResolvedSettings:
    layer = {
        name.replace("_", "-"): Sourced(value, Source.FLAG, f"-{name.replace('_', '-')}")
        for name, value in flags.items()
    }
    return resolve(agent.ROWS, (defaults(agent.ROWS), layer))


def test_the_defaults_are_consuls() -> None:
    options = dev.dev_agent_options(settings(node="n"))
    assert (options.http_port, options.grpc_port, options.dns_port) == (8500, 8502, 8600)
    assert (options.client, options.bind, options.datacenter) == ("127.0.0.1", "127.0.0.1", "dc1")
    assert options.sidecar_ports == (21000, 21255)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"http_port": "-1"}, '-http-port is "-1": not a port; give a number from 0 to 65535'),
        ({"grpc_port": "65536"}, '-grpc-port is "65536"'),
        ({"dns_port": "-2"}, '-dns-port is "-2"'),
        ({"sidecar_min_port": "0"}, '-sidecar-min-port is "0"'),
        ({"sidecar_min_port": "30", "sidecar_max_port": "20"}, "exchange them"),
    ],
)
def test_what_is_no_port_is_a_usage_error(flags: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        dev.dev_agent_options(settings(**flags))


@pytest.mark.parametrize("name", ["a b", "a.b", "é", ""])
def test_what_is_no_datacenter_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=f'-datacenter is "{name}"'):
        dev.dev_agent_options(settings(datacenter=name))


def test_a_datacenter_is_in_lower_case() -> None:
    assert dev.dev_agent_options(settings(datacenter="DC_1")).datacenter == "dc_1"


def test_without_anything_to_run_it_says_what_there_is() -> None:
    with pytest.raises(
        UsageError, match="name definitions with -config-dir or -config-file; connect-proxy"
    ):
        agent.execute([])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["-http-port", "0"],
            "-http-port cannot be used here: it is of the embedded agent: add -dev or -server",
        ),
        (
            ["-dev", "-http-addr", "x:1"],
            "-http-addr cannot be used here: with -dev the embedded agent is the Consul",
        ),
        (["-config-dir", "x", "web"], 'does not take the word "web"'),
        (["-dev", "--server=true"], "-dev and -server cannot be used together: -dev keeps nothing"),
        (
            ["-server", "-http-addr", "x:1"],
            "-http-addr cannot be used here: with -server the embedded agent",
        ),
        (["-server", "-api-addr", ":1"], "-api-addr cannot be used here: it is of managed proxies"),
        (["-dev", "-ca-grace", "1s"], "-ca-grace cannot be used here: it is of -server"),
        (["-dev", "-data-dir", "x"], "-data-dir cannot be used here: it is of managed proxies"),
        (["-config-dir", "x", "-bootstrap-expect", "1"], "-bootstrap-expect cannot be used here"),
    ],
)
def test_flags_of_the_other_way_are_refused(words: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        agent.execute(words)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_answers_and_ends_with_0(tmp_path: Path, number: int) -> None:
    ports = ["-http-port", "0", "-grpc-port", "-1", "-dns-port", "-1"]
    argv = [
        sys.executable,
        "-m",
        "connect_proxy",
        "agent",
        "-dev",
        *ports,
        "-format",
        "json",
        "-node",
        "n1",
    ]
    with Program(argv, folder=tmp_path, env=client_environment()) as program:
        program.wait_for(lambda: program.stdout.endswith("\n"), "the line with the addresses")
        told = json.loads(program.stdout)
        assert set(told) == {
            "http_addr",
            "grpc_addr",
            "dns_addr",
            "node",
            "node_id",
            "datacenter",
            "trust_domain",
        }
        assert (told["node"], told["grpc_addr"]) == ("n1", "")
        with urllib.request.urlopen(f"http://{told['http_addr']}/v1/status/leader", timeout=60) as answer:
            assert answer.status == 200
        assert program.end(number) == 0


def test_more_servers_than_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'-bootstrap-expect is "3": this agent is alone'):
        agent.execute(["-server", "-bootstrap-expect", "3", "-data-dir", str(tmp_path)])


def kept() -> KeptAgent:
    record = Node(id="i", name="kept", address="127.0.0.1", datacenter="dc7")
    return KeptAgent(node=record, index=1, authority=KeptAuthority(cluster_id="c", serial=1))


def test_what_was_kept_counts_where_nothing_else_is_said() -> None:
    options = dev.dev_agent_options(settings(), kept())
    assert (options.node, options.datacenter) == ("kept", "dc7")
    options = dev.dev_agent_options(settings(node="other", datacenter="DC7"), kept())
    assert (options.node, options.datacenter) == ("other", "dc7")


def test_another_datacenter_than_the_kept_one_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match='-datacenter is "dc1", and the data directory is of "dc7"'):
        dev.dev_agent_options(settings(datacenter="dc1"), kept())


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "connect_proxy", "agent", "-dev", "-grpc-port", "-1", "-dns-port", "-1"]
    first = [*base, "-http-port", "0", "-format", "json"]
    with Program(first, folder=tmp_path, env=client_environment()) as program:
        program.wait_for(lambda: program.stdout.endswith("\n"), "the line with the addresses")
        port = json.loads(program.stdout)["http_addr"].rpartition(":")[2]
        second = run([*base, "-http-port", port], env=client_environment())
    assert second.returncode == 1
    assert port in second.stderr
    assert second.stdout == ""
