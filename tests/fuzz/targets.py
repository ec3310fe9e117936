"""What reads bytes that somebody else sends, each as a function of bytes alone.

A target returns, whatever it is given: errors that are raised on purpose are part of its promise, any
other exception is a defect. Seeds are well-formed inputs to begin from.
"""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import dns.message

from connect_proxy.consul import wire
from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.answers import error_of
from connect_proxy.consul.plain_transport import read_answer
from connect_proxy.consul.request import AgentRequest
from connect_proxy.dev_agent.decoding import DecodeError, decode_body
from connect_proxy.dev_agent.definition import SERVICE_DEFINITION
from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.dev_agent.dns.server import respond
from connect_proxy.dev_agent.filter_expression import FilterError, compile_filter
from connect_proxy.dev_agent.records import ServiceRecord
from connect_proxy.errors import AgentAnswerError, ApiError, PeerRefusedError
from connect_proxy.managed.api.request import as_agent, token_of, wait_s
from connect_proxy.mesh.spiffe import NotServiceIdentityError, parse_service_identity
from connect_proxy.secret import Secret
from connect_proxy.supervisor.clear_handshake import certificate_in_the_clear
from connect_proxy_builtin.tls.client_hello import offers_session
from connect_proxy_builtin.tls.peer_identity import identity_of
from fuzz.agent_stream import agent_says
from fuzz.handshakes import caller_hears, server_flight, server_hears, stream_hears
from fuzz.status_listener import status_listener_hears
from support import consul_answers
from support.dev_agent_parts import agent_state
from support.mesh_ca import MeshCa

CA: Final = MeshCa()
HERE: Final = "GET /v1/x"


@dataclass(frozen=True, kw_only=True)
class Target:
    """``run`` takes any bytes and returns."""

    run: Callable[[bytes], object]
    seeds: Callable[[], tuple[bytes, ...]] = tuple


def consul_answer(data: bytes) -> None:
    """Every reading of an agent's answer."""
    readers: tuple[Callable[..., object], ...] = (
        wire.registration,
        wire.registrations,
        wire.roots,
        wire.leaf,
        wire.authorization,
        wire.intentions,
        functools.partial(_of_service, wire.matched_intentions),
        functools.partial(_of_service, wire.instances),
        wire.query_result,
        wire.acl_token,
        wire.json_object,
        wire.text,
    )
    with contextlib.suppress(AgentAnswerError):
        value = wire.decode(data, endpoint=HERE)
        for read in readers:
            with contextlib.suppress(AgentAnswerError):
                read(value, endpoint=HERE)


def _of_service(read: Callable[..., object], value: Any, *, endpoint: str) -> object:
    return read(value, "web", endpoint=endpoint)


def consul_error(data: bytes) -> None:
    """An answer that is no success: its status in the first two bytes."""
    request = AgentRequest(method="GET", path="/v1/x")
    access = AgentAccess(token=Secret("a-token"))
    status = int.from_bytes(data[:2]) % 600
    assert "a-token" not in str(error_of(status, data[2:], request=request, access=access))


def plain_answer(data: bytes) -> None:
    """HTTP as a bootstrap's questions read it."""
    with contextlib.suppress(ValueError):
        read_answer(data)


def certificate(data: bytes) -> None:
    """A peer's, as DER."""
    with contextlib.suppress(PeerRefusedError):
        identity_of(data, trust_domain=CA.trust_domain)


def spiffe_uri(data: bytes) -> None:
    with contextlib.suppress(NotServiceIdentityError):
        identity = parse_service_identity(data.decode("utf-8", "replace"))
        assert parse_service_identity(identity.uri) == identity


def dns_query(data: bytes) -> None:
    for over_tcp in (False, True):
        respond(_resolver(), data, over_tcp=over_tcp)


def filter_expression(data: bytes) -> None:
    with contextlib.suppress(FilterError):
        compile_filter(data.decode("utf-8", "replace"))({"Service": {"Tags": ["a"], "Meta": {"b": "c"}}})


def service_definition(data: bytes) -> None:
    """The body of a registration at the embedded agent."""
    with contextlib.suppress(DecodeError):
        decode_body(data, SERVICE_DEFINITION)


def agent_request(data: bytes) -> None:
    """Query and token of a request at the agent's own API: ``query\\ntoken``."""
    query, _, token = data.partition(b"\n")
    scope = {"query_string": query, "headers": [(b"authorization", token), (b"x-consul-token", token)]}
    token_of(scope)
    as_agent(scope, AgentAccess(token=Secret("a-token")))
    with contextlib.suppress(ApiError):
        assert wait_s(scope) >= 0


def client_hello(data: bytes) -> None:
    offers_session(memoryview(data))


@functools.cache
def _resolver() -> Resolver:
    state = agent_state()
    state.catalog.put_service(ServiceRecord(id="web", name="web", port=80, address="10.0.0.1"))
    return Resolver(catalog=state.catalog, queries=state.queries)


def _answers() -> tuple[bytes, ...]:
    upstream = {"DestinationName": "db", "LocalBindPort": 1, "Config": {"connect_timeout_ms": 1}}
    return (
        json.dumps(consul_answers.sidecar(upstreams=[upstream])).encode(),
        b'{"TrustDomain": "x.consul", "Roots": []}',
        b'[{"SourceName": "a", "DestinationName": "b", "Action": "allow", "Precedence": 9}]',
        b'{"Authorized": true, "Reason": "r"}',
        b'{"Nodes": [{"Node": {"Address": "1.2.3.4"}, "Service": {"Port": 1}, "Checks": []}]}',
    )


TARGETS: Final[Mapping[str, Target]] = {
    "consul-answer": Target(run=consul_answer, seeds=_answers),
    "consul-error": Target(run=consul_error, seeds=lambda: (b"\x01\xf4rpc error: ACL not found",)),
    "plain-answer": Target(
        run=plain_answer, seeds=lambda: (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",)
    ),
    "agent-stream": Target(
        run=agent_says,
        seeds=lambda: (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ),
    ),
    "certificate": Target(
        run=certificate, seeds=lambda: (ssl.PEM_cert_to_DER_cert(CA.leaf("web").certificate_pem),)
    ),
    "spiffe-uri": Target(run=spiffe_uri, seeds=lambda: (CA.uri("web").encode(),)),
    "client-hello": Target(run=client_hello),
    "clear-handshake": Target(run=certificate_in_the_clear, seeds=lambda: (server_flight(),)),
    "server-handshake": Target(run=server_hears),
    "caller-handshake": Target(run=caller_hears, seeds=lambda: (server_flight(),)),
    "tls-stream": Target(run=stream_hears, seeds=lambda: (b"\x17\x03\x03\x00\x02xx",)),
    "status-listener": Target(
        run=status_listener_hears, seeds=lambda: (b"GET /status?x HTTP/1.1\r\nHost: a\r\n\r\n",)
    ),
    "dns-query": Target(
        run=dns_query, seeds=lambda: (dns.message.make_query("web.service.consul", "SRV").to_wire(),)
    ),
    "filter-expression": Target(
        run=filter_expression,
        seeds=lambda: (b'Service.Meta.b == "c" and not ("a" in Service.Tags or Kind is empty)',),
    ),
    "service-definition": Target(
        run=service_definition,
        seeds=lambda: (b'{"Name": "web", "Check": {"TTL": "1m"}, "Connect": {"SidecarService": {}}}',),
    ),
    "agent-request": Target(run=agent_request, seeds=lambda: (b"wait=10s&index=1&token=x\nBearer y",)),
}
