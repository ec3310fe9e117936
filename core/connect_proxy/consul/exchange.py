"""What the transports have in common: their bounds, and what it is called when one is met. Pure."""

from __future__ import annotations

from typing import Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.failures import hung_up
from connect_proxy.consul.request import AgentRequest
from connect_proxy.consul.unreachable import told
from connect_proxy.errors import AgentAnswerError, AgentUnreachableError, ConfigurationError

CONNECT_TIMEOUT_S: Final = 5.0
MAX_BODY_BYTES: Final = 64 * 1024 * 1024


def check_port(access: AgentAccess) -> None:
    """Raise ConfigurationError for a port that cannot be."""
    if access.scheme != "unix" and not 0 < access.port < 65536:
        message = f"-http-addr (CONSUL_HTTP_ADDR): '{access.url}' has no port from 1 to 65535: correct it"
        raise ConfigurationError(message)


def check_length(length: int, request: AgentRequest, access: AgentAccess, *, status: int) -> None:
    """Raise AgentAnswerError for an answer that goes on for ever."""
    if length > MAX_BODY_BYTES:
        message = (
            f"the answer to {request.endpoint} is longer than '{MAX_BODY_BYTES}' bytes: "
            f"check that '{access.url}' is a Consul agent"
        )
        raise AgentAnswerError(message, status=status)


def was_closed(access: AgentAccess) -> AgentUnreachableError:
    """Asked after its end."""
    return told("this client was closed", "make a new one", access)


def no_connection(access: AgentAccess) -> AgentUnreachableError:
    """Nobody took the connection in time."""
    what = f"no connection within {CONNECT_TIMEOUT_S:g} s"
    return told(what, "check the address, the scheme and the network", access)


def no_answer(request: AgentRequest, access: AgentAccess, *, timeout_s: float) -> AgentUnreachableError:
    """The answer was not there in time."""
    what = f"no answer to {request.endpoint} within {timeout_s:g} s"
    return told(what, "see the agent's log, and what lies between", access)


def broken_off(
    request: AgentRequest, access: AgentAccess, *, ended: bool
) -> AgentUnreachableError | AgentAnswerError:
    """No whole answer of HTTP. *ended*: the connection ended, else it was something else."""
    if ended:
        return hung_up(f"it hung up during {request.endpoint}", access)
    message = (
        f"the answer to {request.endpoint} at '{access.url}' is not HTTP: "
        "is that the agent's HTTP port (8500), not its gRPC, RPC or serf port?"
    )
    return AgentAnswerError(message)
