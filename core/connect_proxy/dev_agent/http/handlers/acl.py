"""``/v1/acl``: answers as a Consul with ACLs disabled."""

from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.errors import ApiError


async def disabled(call: Call) -> Reply:
    raise ApiError(401, "ACL support disabled")
