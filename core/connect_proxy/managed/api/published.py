"""The managed proxies as the API knows them: whose token is whose, and waiting until one changes."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final

from connect_proxy.managed.api.proxy_view import PublishedProxy, content_hash, proxy_view
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.tokens import token_hash
from connect_proxy.secret import Secret

NO_FILES: Final = AgentConfiguration()


class PublishedProxies:
    """Replaced as a whole; whoever waits looks again then."""

    def __init__(self) -> None:
        self._by_id: Mapping[str, PublishedProxy] = {}
        self._files = NO_FILES
        self._moved = asyncio.Event()
        self._closed = False

    def publish(self, proxies: Iterable[PublishedProxy], *, files: AgentConfiguration) -> None:
        """Know exactly these from now on."""
        self._by_id = {one.proxy.id: one for one in proxies}
        self._files = files
        self._wake()

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True
        self._wake()

    def owner(self, token: Secret) -> PublishedProxy | None:
        """Whose token it is."""
        return next((one for one in self._by_id.values() if shows(token, one)), None)

    def find(self, proxy_id: str) -> PublishedProxy | None:
        return self._by_id.get(proxy_id)

    def view(self, published: PublishedProxy) -> dict[str, Any]:
        """The body of ``GET /v1/agent/connect/proxy/:id``."""
        return proxy_view(published, bind_address=self._files.bind_address, telemetry=self._files.telemetry)

    async def changed(self, proxy_id: str, known: str) -> None:
        """Returns when that proxy's content hash is not *known* (any more), or nobody waits any more."""
        while not self._closed and self._hash_of(proxy_id) == known:
            await self._moved.wait()

    def _hash_of(self, proxy_id: str) -> str:
        published = self._by_id.get(proxy_id)
        return content_hash(published) if published else ""

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def shows(token: Secret, published: PublishedProxy) -> bool:
    """Whether *token* is that proxy's; found in a time that tells nothing of it."""
    return bool(token) and hmac.compare_digest(published.token_hash, token_hash(token))
