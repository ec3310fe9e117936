"""The calls a sidecar makes, typed. :class:`ConsulClient` is what others depend on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.replies import AclToken, Answer, Authorization
from connect_proxy.errors import AgentUnreachableError
from connect_proxy.mesh.certificates import Leaf, Roots
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration
from connect_proxy.secret import NO_SECRET, Secret

__all__ = [
    "AclToken",
    "Answer",
    "Authorization",
    "ConsulClient",
    "ask_at_once",
    "connect_consul",
    "connect_consul_plainly",
]

T = TypeVar("T")


class ConsulClient(Protocol):
    """Typed calls to one agent. All raise the errors of :mod:`connect_proxy.errors`.

    ``index`` and ``wait`` (seconds): blocking queries; index 0 answers at once. The client never
    waits for ever: its own time-out lies above the longest that the agent may take. Every call is
    one request: retries and back-off belong to the caller
    (:mod:`connect_proxy.consul.blocking_query`).
    """

    @property
    def access(self) -> AgentAccess:
        """Where the calls go. Its token is the one now in force."""

    def set_token(self, token: Secret) -> None:
        """Use *token* for every request from now on."""

    async def agent_self(self) -> Mapping[str, Any]:
        """``GET /v1/agent/self``. Needs agent:read."""

    async def leader(self) -> str:
        """``GET /v1/status/leader``: the leader's address, empty if there is none."""

    async def services(self) -> Mapping[str, Registration]:
        """``GET /v1/agent/services``: all local services by id (what the token may read)."""

    async def service(
        self, service_id: str, *, content_hash: str = "", wait: float = 0
    ) -> Answer[Registration]:
        """``GET /v1/agent/service/:id``, hash-blocking. Raises NotFoundError for an unknown id."""

    async def node_services(self, node: str, *, service_id: str = "") -> tuple[Registration, ...]:
        """``GET /v1/catalog/node-services/:node``: what the catalog has of a node.

        With *service_id* only services of this id; with Consul 1.13 and newer their config holds the
        central defaults too. Raises NotFoundError for a node that is unknown or may not be read.
        """

    async def roots(self, *, index: int = 0, wait: float = 0) -> Answer[Roots]:
        """``GET /v1/agent/connect/ca/roots``."""

    async def leaf(self, service: str, *, index: int = 0, wait: float = 0) -> Answer[Leaf]:
        """``GET /v1/agent/connect/ca/leaf/:service``. Needs service:write."""

    async def authorize(self, *, target: str, client_uri: str, serial: str) -> Authorization:
        """``POST /v1/agent/connect/authorize``. Needs service:write on the target."""

    async def intentions(self, *, index: int = 0, wait: float = 0) -> Answer[tuple[Intention, ...]]:
        """``GET /v1/connect/intentions``: what the token may see; its index moves with every change."""

    async def intentions_for(self, destination: str) -> tuple[Intention, ...]:
        """``GET /v1/connect/intentions/match?by=destination``: in precedence order."""

    async def instances(
        self, service: str, *, datacenter: str = "", index: int = 0, wait: float = 0
    ) -> Answer[tuple[Endpoint, ...]]:
        """``GET /v1/health/connect/:service``: every instance, ``passing`` says which can be used."""

    async def execute_query(self, name: str, *, datacenter: str = "") -> tuple[Endpoint, ...]:
        """``GET /v1/query/:name/execute?connect=true``: in Consul's order."""

    async def config_entry(self, kind: str, name: str) -> Mapping[str, Any]:
        """``GET /v1/config/:kind/:name``. Raises NotFoundError where there is none."""

    async def register_service(self, definition: Mapping[str, Any], *, token: Secret = NO_SECRET) -> None:
        """``PUT /v1/agent/service/register``. With *token*, if there is one, instead of the client's:
        the agent keeps it, and writes the service into the catalog with it."""

    async def deregister_service(self, service_id: str) -> None:
        """``PUT /v1/agent/service/deregister/:id``."""

    async def register_check(self, definition: Mapping[str, Any], *, token: Secret = NO_SECRET) -> None:
        """``PUT /v1/agent/check/register``; *token* as in :meth:`register_service`."""

    async def deregister_check(self, check_id: str) -> None:
        """``PUT /v1/agent/check/deregister/:id``."""

    async def check_ids(self) -> frozenset[str]:
        """``GET /v1/agent/checks``: the ids of all local checks (that the token may read)."""

    async def update_check(self, check_id: str, *, status: str, output: str = "") -> None:
        """``PUT /v1/agent/check/update/:id``; status ``passing``, ``warning`` or ``critical``."""

    async def create_token(self, *, service: str, description: str) -> AclToken:
        """``PUT /v1/acl/token``: one with the identity of *service*, of this datacenter. Needs acl:write.

        Raises AgentAnswerError with status 401 where ACLs are off.
        """

    async def read_token(self, accessor: str) -> AclToken:
        """``GET /v1/acl/token/:accessor``. Needs acl:write for its secret, acl:read for the rest.

        Raises UnknownTokenError if there is none, as it does for an unknown token of our own, and
        AgentAnswerError with status 401 where ACLs are off.
        """

    async def delete_token(self, accessor: str) -> None:
        """``DELETE /v1/acl/token/:accessor``; one that is gone already is no error. Needs acl:write."""

    async def aclose(self) -> None:
        """Close all connections. Calls under way end with AgentUnreachableError."""


def connect_consul(access: AgentAccess) -> ConsulClient:
    """A client for the agent at *access*. Opens no connection yet.

    Raises ConfigurationError where a certificate file of *access* is missing, malformed, or a
    certificate and its key do not belong together.
    """
    from connect_proxy.consul.http_client import HttpConsulClient
    from connect_proxy.consul.plain_transport import is_plain

    if is_plain(access):
        from connect_proxy.consul.stream_transport import StreamTransport

        return HttpConsulClient(access, StreamTransport(access))
    from connect_proxy.consul.transport import HttpTransport

    return HttpConsulClient(access, HttpTransport(access))


def connect_consul_plainly(access: AgentAccess) -> ConsulClient:
    """A client for a few reads without an event loop; see :mod:`connect_proxy.consul.plain_transport`."""
    from connect_proxy.consul.http_client import HttpConsulClient
    from connect_proxy.consul.plain_transport import PlainTransport

    return HttpConsulClient(access, PlainTransport(access))


def ask_at_once(access: AgentAccess, question: Callable[[ConsulClient], Coroutine[Any, Any, T]]) -> T:
    """The answer to a read, for code that is not asynchronous. Raises what the call raises.

    By the shortest way where that is plain HTTP; else in a thread with an event loop of its own.
    """
    from connect_proxy.consul.plain_transport import finished, is_plain

    if is_plain(access):
        try:
            return finished(question(connect_consul_plainly(access)))
        except AgentUnreachableError:
            pass  # the other way meets it again, and tells it better
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def ask() -> T:
        client = connect_consul(access)
        try:
            return await question(client)
        finally:
            await client.aclose()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: asyncio.run(ask())).result()
