"""``/v1/connect/ca`` and ``/v1/agent/connect``: certificates and the right to connect."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import PROVIDER, AuthorityRoot
from connect_proxy.dev_agent.ca.leaves import IssuedLeaf
from connect_proxy.dev_agent.changes import ROOTS, leaf_topic
from connect_proxy.dev_agent.decoding import Struct, boolean, integer, opaque, text
from connect_proxy.dev_agent.http.blocking import query_options, wait_for_change, wait_while
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.server_query import answered, check_datacenter
from connect_proxy.errors import ApiError
from connect_proxy.mesh.immutable import thawed
from connect_proxy.mesh.spiffe import NotServiceIdentityError, parse_service_identity
from connect_proxy.secret import MASK

_CONFIGURATION: Final = Struct(
    {
        "Provider": text,
        "Config": opaque,
        "State": opaque,
        "ForceWithoutCrossSigning": boolean,
        "CreateIndex": integer,
        "ModifyIndex": integer,
    }
)
_AUTHORIZE: Final = Struct(
    {"Target": text, "ClientCertURI": text, "ClientCertSerial": text, "Namespace": text}
)
_NO_IDENTIFIER: Final = "Bad request: ClientCertURI not a valid Connect identifier"
_NO_SERVICE: Final = "Bad request: ClientCertURI not a valid Service identifier"


async def roots(call: Call) -> Reply:
    """``GET /v1/connect/ca/roots``; with ``?pem`` the certificates alone."""
    check_datacenter(call)
    index = await wait_for_change(call, ROOTS)
    if call.flag("pem"):
        chain = "".join(profile.pem_of(root.certificate) for root in call.state.authority.roots)
        return Reply(text=chain, text_type="application/pem-certificate-chain")
    return answered(call, _roots(call), index, shows_consistency=False)


async def agent_roots(call: Call) -> Reply:
    """``GET /v1/agent/connect/ca/roots``: the same through the agent's cache."""
    check_datacenter(call)
    blocking = query_options(call.query).index > 0
    index = await wait_for_change(call, ROOTS, jitter=False)
    reply = answered(call, _roots(call), index, shows_consistency=False)
    # The agent itself keeps the roots: only who waits for others finds them missing in its cache.
    cache = {"X-Cache": "MISS"} if blocking else {"X-Cache": "HIT", "Age": "0"}
    return Reply(body=reply.body, headers={**reply.headers, **cache})


async def leaf(call: Call) -> Reply:
    """``GET /v1/agent/connect/ca/leaf/:service``: the service need not be registered."""
    service = call.path["service"]
    if not service:
        raise ApiError(500, "URI must be either service or agent")
    call.require("write", "service", service)
    leaves = call.state.leaves
    await _until_released(call, service)
    cached = leaves.holds(service, now=datetime.now(UTC))
    leaves.current(service, now=datetime.now(UTC))
    await wait_for_change(call, leaf_topic(service), jitter=False)
    issued = leaves.current(service, now=datetime.now(UTC))
    with contextlib.suppress(ApiError):
        # The next agent should know of it; but the mesh goes on where the disk is full.
        await call.state.durability.settle()
    headers = {"X-Consul-Index": str(issued.create_index), "X-Cache": "HIT" if cached else "MISS"}
    if cached:
        headers["Age"] = str(max(0, int((datetime.now(UTC) - issued.issued_at).total_seconds())))
    return Reply(body=_leaf(issued), headers=headers)


async def _until_released(call: Call, service: str) -> None:
    """Hold who has a leaf of the agent before, until all sidecars may have learned of the new root."""
    index, leaves = query_options(call.query).index, call.state.leaves
    await wait_while(call, leaf_topic(service), lambda: leaves.held_for(service, index=index) is not None)
    if (held := leaves.held_for(service, index=index)) is not None:
        until = _timestamp(held.valid_before)
        raise ApiError(
            500, f"the certificate of {service!r} is valid until {until}: ask again for a new one"
        )


async def configuration(call: Call) -> Reply:
    """``GET /v1/connect/ca/configuration``. A private key that was given is not shown again."""
    call.require("read", "operator")
    current = call.state.authority.configuration
    config: dict[str, Any] = thawed(current.config)
    if config.get("PrivateKey"):
        config["PrivateKey"] = MASK
    body = {
        "Provider": PROVIDER,
        "Config": config,
        "State": None,
        "ForceWithoutCrossSigning": current.force_without_cross_signing,
        "CreateIndex": current.create_index,
        "ModifyIndex": current.modify_index,
    }
    return Reply(body=body)


async def configure(call: Call) -> Reply:
    """``PUT /v1/connect/ca/configuration``: rotates the root where key or root change."""
    call.require("write", "operator")
    body = call.decoded(_CONFIGURATION, prefix="Bad request: Request decode failed: ")
    call.state.authority.configure(body, now=datetime.now(UTC))
    return Reply()


async def authorize(call: Call) -> Reply:
    """``POST /v1/agent/connect/authorize``: may the bearer of this certificate call this service?

    The trust domain, the datacenter and the serial are not looked at, as in Consul.
    """
    body = call.decoded(_AUTHORIZE, prefix="Bad request: Request decode failed: ")
    target = body.get("Target", "")
    if not target:
        raise ApiError(400, "Bad request: Target service must be specified")
    source = _source(body.get("ClientCertURI", ""))
    call.require("write", "service", target)
    state = call.state
    decided = state.intentions.decide(source=source, destination=("default", target))
    if decided is not None:
        allowed, reason = decided.rule.allow, f"Matched intention: {decided}"
    elif state.access.enabled:
        allowed, reason = state.access.default_allow, "Default behavior configured by ACLs"
    else:
        allowed, reason = True, "ACLs disabled, access is allowed by default"
    cache = state.agent_cache.headers(f"intentions for {target}")
    return Reply(body={"Authorized": allowed, "Reason": reason}, headers=cache)


def _source(uri: str) -> tuple[str, str]:
    """(namespace, name) of the service that *uri* identifies."""
    try:
        identity = parse_service_identity(uri)
    except NotServiceIdentityError as exc:
        known = _is_other_identity(uri)
        raise ApiError(400, _NO_SERVICE if known else _NO_IDENTIFIER) from exc
    return identity.namespace, identity.service


def _is_other_identity(uri: str) -> bool:
    """An agent's or a signing CA's SPIFFE identity: an identity, but not a service's."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if parts.scheme != "spiffe" or not parts.hostname:
        return False
    match parts.path.split("/"):
        case ["", "agent", "client", "dc", _, "id", _]:
            return True
        case [""]:
            return "." in parts.hostname
    return False


def _roots(call: Call) -> dict[str, Any]:
    authority = call.state.authority
    return {
        "ActiveRootID": authority.active.id,
        "TrustDomain": authority.trust_domain,
        "Roots": [_root(root, authority.cluster_id) for root in authority.roots],
    }


def _root(root: AuthorityRoot, cluster_id: str) -> dict[str, Any]:
    certificate = root.certificate
    kind, bits = profile.key_kind(certificate)
    key_id = profile.key_id(profile.public_key_of(certificate))
    return {
        "ID": root.id,
        "Name": "Consul CA Root Cert",
        "SerialNumber": certificate.serial_number,
        "SigningKeyID": profile.colon_hex(key_id),
        "ExternalTrustDomain": cluster_id,
        "NotBefore": _timestamp(certificate.not_valid_before_utc),
        "NotAfter": _timestamp(certificate.not_valid_after_utc),
        "RootCert": profile.pem_of(certificate),
        "IntermediateCerts": [profile.pem_of(each) for each in root.intermediates] or None,
        "Active": root.active,
        "PrivateKeyType": kind,
        "PrivateKeyBits": bits,
        "CreateIndex": root.create_index,
        "ModifyIndex": root.modify_index,
    }


def _leaf(issued: IssuedLeaf) -> dict[str, Any]:
    return {
        "SerialNumber": issued.serial,
        "CertPEM": issued.chain_pem,
        "PrivateKeyPEM": issued.key_pem.reveal(),
        "Service": issued.service,
        "ServiceURI": issued.uri,
        "ValidAfter": _timestamp(issued.valid_after),
        "ValidBefore": _timestamp(issued.valid_before),
        "CreateIndex": issued.create_index,
        "ModifyIndex": issued.create_index,
    }


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
