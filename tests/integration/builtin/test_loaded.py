"""What a running sidecar has in memory: nothing that it does not use."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.applications import ask, echo_server
from support.builtin_pair import pair
from support.embedded_agent import EmbeddedAgent

pytestmark = pytest.mark.integration


def test_pythons_own_openssl_stays_away_from_sidecars_that_carry_traffic(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        assert ask(mesh.port, b"hello") == b"hello"
        for side in mesh.sides:
            mapped = Path(f"/proc/{side.program.pid}/maps").read_text()
            assert [name for name in ("/_ssl.", "/_hashlib.", "/libcrypto.") if name in mapped] == []
