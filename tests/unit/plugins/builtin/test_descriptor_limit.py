from __future__ import annotations

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import os, resource, sys
from connect_proxy_builtin.descriptor_limit import make_room, raise_descriptor_limit
if sys.argv[1] != "0":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
def room():
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith("FDSize"))
before = sorted(os.listdir("/proc/self/fd"))
print(room())
make_room()
print(room())
assert sorted(os.listdir("/proc/self/fd")) == before
print(raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run(limit: int) -> list[int]:
    """At most *limit* descriptors, 0: as here. The table before and after, the limit as told, the limit."""
    argv = [sys.executable, "-c", PROGRAM, str(limit)]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    return [int(word) for word in found.stdout.split()]


@on_linux
def test_there_is_room_for_thousands_of_descriptors_and_none_is_left_open() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    _, room, told, limit = run(0)
    assert room >= min(4096, hard)
    assert told == limit == hard


@on_linux
def test_a_low_limit_is_respected() -> None:
    before, room, told, limit = run(100)
    assert room <= max(before, 128)
    assert told == limit == 100
