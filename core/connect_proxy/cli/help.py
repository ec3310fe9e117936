"""The overview that ``connect-proxy --help`` prints. Nothing heavy is imported for it."""

from collections.abc import Mapping


def overview(summaries: Mapping[str, str]) -> str:
    """Usage, the commands with *summaries*, where to read on."""
    width = max(map(len, summaries))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in summaries.items())
    return f"""\
Usage: connect-proxy [--backend NAME] [OPTIONS] [-- PASS-THROUGH...]
       connect-proxy COMMAND [OPTIONS]
       connect-proxy BACKEND [OPTIONS] [-- PASS-THROUGH...]

Run Consul Connect sidecar proxies with pluggable backends.

Commands:
{commands}

The name of an installed backend is a command too: `connect-proxy envoy -sidecar-for web` is
`connect-proxy --backend envoy -sidecar-for web`.

Options:
  --help     This overview; after a command, its options (`connect-proxy run --help`).
  --version  The versions of connect-proxy and of what it uses.

Flags may be written with one dash or two, as -flag value or -flag=value.
Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration invalid, 4 a needed program is missing,
5 not ready in time, 6 refused for good, 128+n ended by signal n.
"""
