"""What ``-bootstrap`` may not import: it would take longer than all that it does."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("httpx", "asyncio", "ssl", "cryptography", "grpc", "starlette")


def test_what_a_bootstrap_needs_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "import connect_proxy.cli.commands.run, connect_proxy.proxy_run\n"
        "import connect_proxy.consul.http_client, connect_proxy.consul.plain_transport\n"
        "import connect_proxy_envoy.plugin, connect_proxy_envoy.facts, connect_proxy_envoy.bootstrap\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
