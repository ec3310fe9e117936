"""``/v1/status``."""

from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.sidecar import host_port


def server_address(call: Call) -> str:
    """The address of the one server: this agent."""
    return host_port(call.state.catalog.node.address, call.state.ports.server)


async def leader(call: Call) -> Reply:
    return Reply(body=server_address(call))


async def peers(call: Call) -> Reply:
    return Reply(body=[server_address(call)])
