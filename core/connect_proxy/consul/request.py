"""One request to the agent's HTTP API and its answer, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connect_proxy.consul.blocking_query import wait_text
from connect_proxy.mesh.immutable import EMPTY


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRequest:
    """What is asked, and what the answer's errors have to name."""

    method: str = "GET"
    path: str
    """Percent-encoded, with ``/v1`` in front."""
    params: Mapping[str, str] = EMPTY
    body: Any = None
    """Sent as JSON unless None."""
    wait: float = 0
    """Seconds that the agent may hold the answer back."""
    needs: str = ""
    """The ACL rule that the call needs, such as ``service:write on "web"``; empty: none."""

    @property
    def endpoint(self) -> str:
        """``GET /v1/agent/service/web``: how messages name the call."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAnswer:
    """Status, headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def path_of(*segments: str) -> str:
    """``/v1/`` and the segments, each percent-encoded as a whole (also ``/`` in a service id)."""
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def blocking_params(*, index: int, wait: float) -> dict[str, str]:
    """``index`` and ``wait`` as Consul reads them; none for a query that is answered at once."""
    return {"index": str(index), "wait": wait_text(wait)} if index > 0 else {}


def hash_params(*, content_hash: str, wait: float) -> dict[str, str]:
    """The same for the endpoints that block by content hash (``agent/service/:id``)."""
    return {"hash": content_hash, "wait": wait_text(wait)} if content_hash else {}
