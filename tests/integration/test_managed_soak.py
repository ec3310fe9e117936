"""A tenth of ``make soak``'s part on managed proxies."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SOAK = Path(__file__).parents[1] / "soak" / "managed.py"


@pytest.mark.timeout(240)
def test_the_agents_death_costs_no_call_and_no_proxy() -> None:
    argv = [sys.executable, str(SOAK), "--proxies", "5", "--daemons", "0"]
    outcome = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=230)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "0 failed; 5 of 5 found again" in outcome.stdout
