"""Where connect-proxy serves xDS to its own Envoy."""

from __future__ import annotations


def xds_socket(runtime_dir: str) -> str:
    """The unix socket, in the run's private directory."""
    return f"{runtime_dir}/xds.sock"
