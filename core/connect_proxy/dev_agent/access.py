"""Who may do what: the seam behind which ACLs sit.

Every handler asks through :class:`Access` with the token of its request. :class:`OpenAccess` is
Consul with ACLs disabled: everything is allowed, and so is a connection that no intention names.
"""

from __future__ import annotations

from typing import Protocol

from connect_proxy.secret import Secret

READ = "read"
WRITE = "write"


class Access(Protocol):
    """Decides what a token may do."""

    @property
    def enabled(self) -> bool:
        """Whether ACLs are on. Off: ``/v1/acl/*`` answers that they are disabled."""

    @property
    def default_allow(self) -> bool:
        """``acl.default_policy = "allow"``: what holds where no rule and no intention decides."""

    def allows(self, token: Secret, *, resource: str, name: str, permission: str) -> bool:
        """Whether *token* may *permission* (``read``, ``write``) the *resource* called *name*.

        *resource* is one of Consul's: ``service``, ``node``, ``agent``, ``operator``,
        ``intention``, ``query``.
        """


class OpenAccess:
    """ACLs disabled."""

    enabled = False
    default_allow = True

    def allows(self, token: Secret, *, resource: str, name: str, permission: str) -> bool:
        return True
