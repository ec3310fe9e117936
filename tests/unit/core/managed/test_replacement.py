"""Whether two processes of one proxy can be there at once, as a table."""

import dataclasses
from typing import Any

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.replacement import Replacement, replacement
from connect_proxy.mesh.registration import Upstream
from connect_proxy.plugin_api import BackendTraits
from support.managed_definitions import managed_proxy

SHARES = BackendTraits(shares_ports=True)
NOTHING = BackendTraits()
DAEMON = ("daemon",)


def assignment(port: int, *upstreams: Upstream, command: tuple[str, ...] = (), **proxy: Any) -> Assignment:
    made = managed_proxy(upstreams=upstreams, command=command)
    return Assignment(proxy=dataclasses.replace(made, **proxy), port=port, access=AgentAccess())


def upstream(port: int = 0, path: str = "") -> Upstream:
    return Upstream(destination_name="db", local_bind_port=port, local_bind_socket_path=path)


BUILTIN, ENVOY = assignment(20001), assignment(20001, backend="envoy")


@pytest.mark.parametrize(
    ("old", "new", "traits", "beside", "shares", "reason"),
    [
        (BUILTIN, BUILTIN, SHARES, True, True, ""),
        (BUILTIN, ENVOY, SHARES, True, True, ""),
        (None, ENVOY, SHARES, True, True, ""),
        (BUILTIN, ENVOY, NOTHING, False, False, "the backend 'envoy' does not listen beside another"),
        (
            assignment(20001, command=DAEMON),
            assignment(20001, command=DAEMON),
            NOTHING,
            False,
            False,
            "both listen on port 20001",
        ),
        (
            assignment(20001, command=DAEMON),
            assignment(20002, command=DAEMON),
            NOTHING,
            True,
            False,
            "",
        ),
        (
            assignment(20001, upstream(9000), command=DAEMON),
            assignment(20002, upstream(9000), command=DAEMON),
            NOTHING,
            False,
            False,
            "both listen on port 9000",
        ),
        (
            assignment(20001, upstream(path="/run/db"), command=DAEMON),
            assignment(20002, upstream(path="/run/db"), command=DAEMON),
            NOTHING,
            False,
            False,
            "both listen on /run/db",
        ),
        (
            assignment(20001, upstream(9000), command=DAEMON),
            assignment(9000, command=DAEMON),
            NOTHING,
            False,
            False,
            "both listen on port 9000",
        ),
        (BUILTIN, assignment(20001, command=DAEMON), NOTHING, False, False, "both listen on port 20001"),
        (assignment(20001, command=DAEMON), BUILTIN, SHARES, False, False, "both listen on port 20001"),
        (assignment(20001, command=DAEMON), assignment(20002), SHARES, True, False, ""),
        (
            None,
            assignment(20002, command=DAEMON),
            NOTHING,
            False,
            False,
            "it is not known where the old one listens",
        ),
    ],
)
def test_who_may_stand_beside_whom(
    old: Assignment | None,
    new: Assignment,
    traits: BackendTraits,
    beside: bool,
    shares: bool,
    reason: str,
) -> None:
    expected = Replacement(beside=beside, shares_ports=shares, reason=reason)
    assert replacement(old, new, traits) == expected
