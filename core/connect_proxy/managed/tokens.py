"""A token of its own for every managed proxy: made, found again after a restart, deleted with it.

With Consul's ACLs on it is an ACL token with the service's identity: service:write on that one
service and on ``<service>-sidecar-proxy``, read on everything else, the least that Consul allows a
proxy. With ACLs off it is a random one that only this agent's own API knows.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from dataclasses import dataclass
from typing import Final

from connect_proxy.consul.client import ConsulClient
from connect_proxy.errors import (
    AgentAnswerError,
    PermissionDeniedError,
    ProxyTokenRefusedError,
    UnknownTokenError,
)
from connect_proxy.managed.definitions.configuration import ManagedProxy
from connect_proxy.secret import Secret

log = logging.getLogger("connect_proxy.managed")

NOT_FOUND: Final = 404
ACL_DISABLED: Final = 401
"""Consul's status for every ACL call with ACLs off ("ACL support disabled")."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyToken:
    """What a proxy shows."""

    secret: Secret
    accessor: str = ""
    """Of an ACL token that was made for the proxy, to read and to delete it by; empty: not ours."""
    is_local: bool = False
    """Consul does not know it: only this agent's API does, and a new one is made at each start."""

    @property
    def hash(self) -> str:
        """What may stand on disk of it: SHA-256, hexadecimal."""
        return token_hash(self.secret)


def token_hash(secret: Secret) -> str:
    """SHA-256 of the secret, hexadecimal; empty for no secret."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest() if secret else ""


class ProxyTokens:
    """Makes, finds and deletes tokens in the Consul behind, as whoever *client* is."""

    def __init__(self, client: ConsulClient) -> None:
        self._client = client

    async def obtain(self, proxy: ManagedProxy, *, accessor: str = "") -> ProxyToken:
        """The token for a start of *proxy*: its definition's own, the one with *accessor* if it still
        is there, else a new one.

        Raises ProxyTokenRefusedError where the agent's token may make none (acl:write), and
        ConsulError: try again.
        """
        if proxy.token:
            return ProxyToken(secret=proxy.token)
        try:
            found = await self.find(accessor)
            if found is None:
                found = await self._created(proxy)
        except AgentAnswerError as exc:
            if exc.status != ACL_DISABLED:
                raise
            return ProxyToken(secret=Secret(str(uuid.uuid4())), is_local=True)
        return found

    async def find(self, accessor: str) -> ProxyToken | None:
        """The ACL token with *accessor*; None if there is none any more, or if its secret is not shown."""
        if not accessor:
            return None
        try:
            token = await self._client.read_token(accessor)
        except (UnknownTokenError, PermissionDeniedError) as exc:
            # Consul says "ACL not found" for an accessor that is gone and for our own token alike:
            # the attempt to make a new one tells which.
            log.info("the token with accessor %s is replaced: %s", accessor, exc)
            return None
        return ProxyToken(secret=token.secret, accessor=token.accessor) if token.secret else None

    async def delete(self, accessor: str) -> None:
        """Delete the ACL token of a proxy that is gone; one that does not exist is no error.

        Raises ConsulError, with ACLs off too: the token is still there, and counts once they are on.
        """
        try:
            await self._client.delete_token(accessor)
        except UnknownTokenError:
            # Consul says "ACL not found" of our own token; some versions of the other one, too.
            await self._client.read_token("self")
        except AgentAnswerError as exc:
            if exc.status != NOT_FOUND:
                raise

    async def _created(self, proxy: ManagedProxy) -> ProxyToken:
        try:
            token = await self._client.create_token(
                service=proxy.service_name,
                description=f"connect-proxy: managed proxy {proxy.id}",
            )
        except PermissionDeniedError as exc:
            message = (
                f"no ACL token can be made for the proxy '{proxy.id}': the agent's own token lacks"
                f" acl:write; grant it, or give the service '{proxy.service_id}' a token in its definition"
                f' (service:write on "{proxy.service_name}")'
            )
            raise ProxyTokenRefusedError(message) from exc
        return ProxyToken(secret=token.secret, accessor=token.accessor)
