"""Buffers that take no memory before they are used."""

import gc
import sys
from pathlib import Path

import pytest

from connect_proxy_builtin.scratch_memory import scratch_memory


def test_it_is_zeros_that_can_be_written() -> None:
    view = scratch_memory(100_000)
    assert (len(view), view.readonly, bytes(view[:3])) == (100_000, False, b"\0\0\0")
    view[99_999] = 7
    assert view[99_999] == 7


def test_parts_of_it_outlive_the_rest() -> None:
    part = scratch_memory(100_000)[10:20]
    gc.collect()
    part[0] = 1
    assert part[0] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much is resident")
def test_it_takes_no_memory_before_something_is_written() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = resident()
    views = [scratch_memory(1 << 20) for _ in range(64)]
    assert (resident() - before) * 4096 < 32 << 20
    assert len(views) == 64
