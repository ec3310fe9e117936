"""What an operator must be warned of: ports beyond loopback that speak for the service. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from connect_proxy_builtin.policy import PlanePolicy


def exposures(policy: PlanePolicy) -> Iterator[str]:
    """One sentence for each address beyond loopback."""
    for upstream in policy.upstreams:
        if not upstream.listen.is_loopback:
            yield (
                f"upstream {upstream.id!r} listens on {upstream.listen}, which is not loopback: "
                f"whoever reaches that port calls it as service {policy.inbound.service!r}"
            )
    if policy.public is not None and not policy.inbound.application.is_loopback:
        yield (
            f"the application is at {policy.inbound.application}, which is not loopback: "
            "it can be reached there without the mesh, and what is sent to it is not encrypted"
        )
