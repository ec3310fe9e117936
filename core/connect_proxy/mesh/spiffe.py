"""SPIFFE identities as Consul writes them (SPIFFE-ID 1.0; Consul's ``connect/uri.go`` shapes)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit


class NotServiceIdentityError(ValueError):
    """The text is no SPIFFE identity of a service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceIdentity:
    """``spiffe://<trust domain>[/ap/<partition>]/ns/<ns>/dc/<datacenter>/svc/<service>``."""

    trust_domain: str
    datacenter: str
    service: str
    namespace: str = "default"
    partition: str = "default"

    @property
    def uri(self) -> str:
        """The URI with each segment percent-encoded where it must be."""
        partition = "" if self.partition == "default" else f"/ap/{_segment(self.partition)}"
        return (
            f"spiffe://{self.trust_domain}{partition}/ns/{_segment(self.namespace)}"
            f"/dc/{_segment(self.datacenter)}/svc/{_segment(self.service)}"
        )

    def __str__(self) -> str:
        return self.uri


def parse_service_identity(uri: str) -> ServiceIdentity:
    """The identity of a service, from the URI SAN of its certificate.

    Raises :class:`NotServiceIdentityError` for another scheme, for gateways, agents and signing
    identities, and for anything with a query, a fragment, user info or a port.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as exc:
        message = f"not a SPIFFE identity: {uri!r}"
        raise NotServiceIdentityError(message) from exc
    if parts.scheme != "spiffe" or not parts.hostname:
        message = f"not a SPIFFE identity: {uri!r}"
        raise NotServiceIdentityError(message)
    if parts.query or parts.fragment or "@" in parts.netloc or port is not None:
        message = f"a SPIFFE identity has no query, fragment, user or port: {uri!r}"
        raise NotServiceIdentityError(message)
    match [unquote(segment) for segment in parts.path.split("/")]:
        case ["", "ns", namespace, "dc", datacenter, "svc", service]:
            partition = "default"
        case ["", "ap", partition, "ns", namespace, "dc", datacenter, "svc", service]:
            pass
        case _:
            message = f"not the SPIFFE identity of a service: {uri!r}"
            raise NotServiceIdentityError(message)
    if not (partition and namespace and datacenter and service):
        message = f"empty segment in SPIFFE identity: {uri!r}"
        raise NotServiceIdentityError(message)
    return ServiceIdentity(
        trust_domain=parts.hostname.lower(),
        partition=partition,
        namespace=namespace,
        datacenter=datacenter,
        service=service,
    )


def _segment(text: str) -> str:
    return quote(text, safe="-._~!$&'()*+,;=:@")
