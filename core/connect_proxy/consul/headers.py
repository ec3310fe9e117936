"""The headers of a request to the agent, whichever way it travels. Pure."""

from __future__ import annotations

from base64 import b64encode

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import AgentRequest
from connect_proxy.errors import UnknownTokenError
from connect_proxy.secret import Secret


def request_headers(request: AgentRequest, access: AgentAccess, token: Secret) -> dict[str, str]:
    """All but ``Host``. Raises UnknownTokenError for a token that fits in no header."""
    # Compression saves nothing on loopback, and would let a small answer grow without bound.
    headers = {"Accept-Encoding": "identity", "User-Agent": "connect-proxy"}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if token:
        headers["X-Consul-Token"] = _header_value(token)
    if access.http_auth:
        headers["Authorization"] = basic_auth(access.http_auth)
    return headers


def basic_auth(pair: Secret) -> str:
    """``user[:password]`` as the Authorization header has it."""
    user, _, password = pair.reveal().partition(":")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _header_value(token: Secret) -> str:
    """The token for its header. The HTTP library would refuse a wrong one too, but quote it."""
    text = token.reveal()
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        message = (
            "the ACL token cannot be one of Consul's: it has a blank at an end, a line break or a "
            "character beyond ASCII; check -token-file, CONSUL_HTTP_TOKEN or where else it came from"
        )
        raise UnknownTokenError(message)
    return text
