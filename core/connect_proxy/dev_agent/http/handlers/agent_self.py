"""``/v1/agent/self`` and ``/v1/agent/members``: what clients read about the agent itself."""

from __future__ import annotations

import platform
import sys
from typing import Any

from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.handlers.status import server_address
from connect_proxy.dev_agent.state import CONSUL_VERSION
from connect_proxy.dev_agent.wire import node_addresses

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def agent_self(call: Call) -> Reply:
    """``GET /v1/agent/self``. ``xDS`` is there only if the gRPC port is."""
    call.require("read", "agent", call.state.catalog.node.name)
    node = call.state.catalog.node
    shown: dict[str, Any] = {
        "Config": {
            "Datacenter": node.datacenter,
            "NodeName": node.name,
            "NodeID": node.id,
            "Revision": "",
            "Server": True,
            "Version": CONSUL_VERSION,
        },
        "DebugConfig": _debug_config(call),
        "Coord": {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 0.00001},
        "Member": _member(call),
        "Stats": _stats(call),
        "Meta": dict(node.meta),
    }
    if call.state.ports.grpc > 0:
        shown["xDS"] = {"SupportedProxies": {"envoy": list(call.state.supported_envoys)}}
    return Reply(body=shown)


async def members(call: Call) -> Reply:
    """``GET /v1/agent/members``: this node, which is all there is."""
    return Reply(body=[_member(call)])


def _debug_config(call: Call) -> dict[str, Any]:
    state = call.state
    node, ports, access = state.catalog.node, state.ports, state.access
    first, last = state.sidecar_port_range
    return {
        "ACLDatacenter": node.datacenter,
        "ACLDefaultPolicy": "allow" if access.default_allow else "deny",
        "ACLsEnabled": access.enabled,
        "AdvertiseAddrLAN": node.address,
        "BindAddr": node.address,
        "ClientAddrs": [state.client_address],
        "ConnectEnabled": True,
        "ConnectSidecarMaxPort": last,
        "ConnectSidecarMinPort": first,
        "DNSDomain": "consul.",
        "DNSPort": ports.dns,
        "Datacenter": node.datacenter,
        "DevMode": not state.durability.lasting,
        "EnableUI": False,
        "GRPCAddrs": [f"tcp://{state.client_address}:{ports.grpc}"] if ports.grpc > 0 else [],
        "GRPCPort": ports.grpc,
        "HTTPPort": ports.http,
        "HTTPSPort": -1,
        "NodeID": node.id,
        "NodeMeta": {},
        "NodeName": node.name,
        "PrimaryDatacenter": node.datacenter,
        "ServerMode": True,
        "ServerPort": ports.server,
        "TaggedAddresses": node_addresses(node),
        "Version": CONSUL_VERSION,
        "VersionPrerelease": "",
    }


def _member(call: Call) -> dict[str, Any]:
    node, server_port = call.state.catalog.node, call.state.ports.server
    return {
        "Name": node.name,
        "Addr": node.address,
        "Port": server_port,
        "Tags": {
            "acls": "1" if call.state.access.enabled else "0",
            "build": f"{CONSUL_VERSION}:",
            "dc": node.datacenter,
            "id": node.id,
            "port": str(server_port),
            "raft_vsn": "3",
            "role": "consul",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }


def _stats(call: Call) -> dict[str, dict[str, str]]:
    catalog = call.state.catalog
    return {
        "agent": {
            "check_monitors": "0",
            "check_ttls": str(call.state.checks.timers),
            "checks": str(len(catalog.local_checks())),
            "services": str(len(catalog.local_services())),
        },
        "build": {"prerelease": "", "revision": "", "version": CONSUL_VERSION},
        "consul": {
            "acl": "enabled" if call.state.access.enabled else "disabled",
            "bootstrap": "false",
            "known_datacenters": "1",
            "leader": "true",
            "leader_addr": server_address(call),
            "server": "true",
        },
        "runtime": {
            "arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": sys.platform,
            "version": f"python{platform.python_version()}",
        },
    }
