import asyncio
import socket
import tempfile
from pathlib import Path

import httpx
import pytest

from connect_proxy.dev_agent.agent import DevAgent, DevAgentOptions, Listening, run_dev_agent
from connect_proxy.errors import ConfigurationError, PortInUseError
from support.dev_agent_running import client_of, running_agent
from support.eventually import eventually


class XdsProgram:
    """Takes the gRPC port and remembers what it was told."""

    supported_envoys = ("1.40.0", "1.39.0")

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    async def start(self, listen_address: str, agent_http_url: str) -> int:
        self.told.append(("start", listen_address, agent_http_url))
        return 12345

    async def stop(self) -> None:
        self.told.append(("stop",))


def test_an_agent_on_free_ports_says_where_it_listens() -> None:
    async def run() -> None:
        async with running_agent(dns_port=0, datacenter="dc7") as agent:
            assert agent.listening.http.startswith("127.0.0.1:")
            assert agent.listening.dns.startswith("127.0.0.1:")
            assert agent.listening.grpc == ""
            shown = await agent.json("/v1/agent/self")
            assert shown["Config"] == {
                "Datacenter": "dc7",
                "NodeName": "node1",
                "NodeID": agent.listening.node_id,
                "Revision": "",
                "Server": True,
                "Version": "1.8.7",
            }
            roots = await agent.json("/v1/agent/connect/ca/roots")
            assert roots["TrustDomain"] == agent.listening.trust_domain

    asyncio.run(run())


def test_without_xds_no_grpc_is_announced() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            shown = await agent.json("/v1/agent/self")
            assert shown["DebugConfig"]["GRPCPort"] == -1
            assert "xDS" not in shown

    asyncio.run(run())


def test_xds_is_started_on_the_grpc_port_and_stopped_with_the_agent() -> None:
    async def run() -> None:
        xds = XdsProgram()
        async with running_agent(xds=xds, grpc_port=0) as agent:
            assert agent.listening.grpc == "127.0.0.1:12345"
            shown = await agent.json("/v1/agent/self")
            assert shown["DebugConfig"]["GRPCPort"] == 12345
            assert shown["xDS"] == {"SupportedProxies": {"envoy": ["1.40.0", "1.39.0"]}}
        assert xds.told == [("start", "127.0.0.1:0", f"http://{agent.listening.http}"), ("stop",)]

    asyncio.run(run())


def test_a_grpc_port_that_is_off_starts_no_xds() -> None:
    async def run() -> None:
        xds = XdsProgram()
        async with running_agent(xds=xds, grpc_port=-1) as agent:
            assert agent.listening.grpc == ""
        assert xds.told == []

    asyncio.run(run())


def test_an_agent_listens_on_ipv6() -> None:
    async def run() -> None:
        async with running_agent(client="::1", bind="::1", dns_port=0) as agent:
            assert agent.listening.http.startswith("[::1]:")
            assert agent.listening.dns.startswith("[::1]:")
            (node,) = await agent.json("/v1/catalog/nodes")
            assert node["Address"] == "::1"

    asyncio.run(run())


def test_an_agent_listens_on_a_unix_socket_and_removes_it() -> None:
    async def run(path: Path) -> None:
        async with running_agent(client=f"unix://{path}") as agent:
            assert agent.listening.http == f"unix://{path}"
            assert await agent.json("/v1/status/leader") == "127.0.0.1:8300"
        assert not path.exists()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "http.sock"))


def test_a_left_over_socket_is_replaced_and_one_in_use_is_not() -> None:
    async def run(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
        async with running_agent(client=f"unix://{path}"):
            with pytest.raises(PortInUseError, match="cannot be used"):
                await DevAgent(DevAgentOptions(client=f"unix://{path}", dns_port=-1)).start()
            async with client_of(f"unix://{path}") as http:
                assert (await http.get("/v1/status/leader")).status_code == 200

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "http.sock"))


def test_a_taken_port_is_an_error_that_names_it_and_leaves_nothing_behind() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            agent = DevAgent(DevAgentOptions(http_port=0, dns_port=port))
            with pytest.raises(PortInUseError, match=f"DNS port {port} on '127.0.0.1'.*choose another"):
                await agent.start()

    asyncio.run(run())


def test_an_address_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="not an IP address to listen on: 'nonsense'"):
        asyncio.run(DevAgent(DevAgentOptions(client="nonsense", http_port=0)).start())


def test_stopping_ends_blocked_queries_at_once() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            params = {"index": "1000", "wait": "60s"}
            asked = [
                asyncio.create_task(agent.http.get("/v1/catalog/services", params=params))
                for _ in range(20)
            ]
            await eventually(lambda: agent.agent.changes.waiting == 21, "twenty sleeping queries")
            await agent.agent.stop()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

    asyncio.run(run())


def test_an_agent_runs_until_it_is_told_to_stop() -> None:
    async def run() -> None:
        stop, announced = asyncio.Event(), asyncio.Queue[Listening]()
        running = asyncio.create_task(
            run_dev_agent(
                DevAgentOptions(http_port=0, dns_port=-1), announce=announced.put_nowait, stop=stop
            )
        )
        listening = await announced.get()
        async with client_of(listening.http) as http:
            assert (await http.get("/v1/status/leader")).status_code == 200
            stop.set()
            await running
            with pytest.raises(httpx.ConnectError):
                await http.get("/v1/status/leader")

    asyncio.run(run())
