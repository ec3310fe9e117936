"""One request as a handler sees it, and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.datastructures import Headers, QueryParams

from connect_proxy.dev_agent.decoding import DecodeError, Struct, decode_body
from connect_proxy.dev_agent.go_bool import FALSE_WORDS
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.errors import ApiError
from connect_proxy.secret import Secret

NOTHING = object()
"""The body of an answer that has none: not even ``null``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes back: JSON, or where ``text`` is set, that text as ``text_type``."""

    body: Any = NOTHING
    text: str | None = None
    text_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request."""

    state: AgentState
    method: str
    path: Mapping[str, str]
    """The variable parts of the path, decoded."""
    query: QueryParams
    headers: Headers
    body: bytes

    @property
    def token(self) -> Secret:
        """Consul's order: ``?token=``, ``X-Consul-Token``, ``Authorization: Bearer``."""
        bearer = self.headers.get("authorization", "")
        kind, _, word = bearer.partition(" ")
        return Secret(
            self.query.get("token")
            or self.headers.get("x-consul-token")
            or (word.strip() if kind.lower() == "bearer" else "")
        )

    def may(self, permission: str, resource: str, name: str = "") -> bool:
        """Whether the request's token allows this."""
        return self.state.access.allows(self.token, resource=resource, name=name, permission=permission)

    def require(self, permission: str, resource: str, name: str = "") -> None:
        """Raises ApiError (403) unless the request's token allows this."""
        if not self.may(permission, resource, name):
            raise ApiError(403, "Permission denied")

    def decoded(self, struct: Struct, *, status: int = 400, prefix: str = "Request decode failed: ") -> Any:
        """The body as *struct*; ApiError with *status* and *prefix* where it is not."""
        try:
            return decode_body(self.body, struct)
        except DecodeError as exc:
            raise ApiError(status, f"{prefix}{exc}") from exc

    def flag(self, name: str) -> bool:
        """A query parameter that counts when present, unless it says ``false``."""
        return name in self.query and self.query[name] not in FALSE_WORDS


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
