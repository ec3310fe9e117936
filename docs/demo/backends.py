"""The words that start a sidecar with each backend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stage import DemoError

HERE = Path(__file__).resolve().parent
REAL_PARTS = HERE.parents[1] / "tests" / "support" / "real_parts.py"


def _builtin(sidecar: list[str], free_port: Callable[[], int]) -> list[str]:
    return sidecar


def _envoy(sidecar: list[str], free_port: Callable[[], int]) -> list[str]:
    """With a real Envoy, fetched on first use, and an admin port for each."""
    found = subprocess.run(
        [sys.executable, str(REAL_PARTS), "envoy"], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode != 0:
        message = "no Envoy to show: see above"
        raise DemoError(message)
    binary = found.stdout.strip()
    return [*sidecar, "-envoy-binary", binary, "-admin-bind", f"127.0.0.1:{free_port()}"]


def _custom_exec(sidecar: list[str], free_port: Callable[[], int]) -> list[str]:
    """With the demo's own daemon after ``--``."""
    return [*sidecar, "--", sys.executable, str(HERE / "mtls_daemon.py")]


BACKENDS = {"builtin": _builtin, "envoy": _envoy, "custom_exec": _custom_exec}


def sidecar_words(
    backend: str, program: list[str], service: str, free_port: Callable[[], int]
) -> list[str]:
    """The command that runs the sidecar of *service*. Raises DemoError where a part is missing."""
    return BACKENDS[backend]([*program, "--backend", backend, "-sidecar-for", service], free_port)
