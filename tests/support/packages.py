"""Distributions of third parties, installed beside the program for the length of a test run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path(__file__).parents[1] / "packages"


def install(folder: Path, *names: str) -> Path:
    """Install tests/packages/NAME… into *folder*; put it on PYTHONPATH to have them found."""
    sources = [str(PACKAGES / name) for name in names]
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(folder)]
    outcome = subprocess.run([*command, *options, *sources], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return folder


def with_packages(folder: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which what was installed into *folder* is found."""
    base = dict(os.environ if env is None else env)
    return base | {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), base.get("PYTHONPATH", "")]))}
