"""Rotating the logs of proxies that can be told of it, and of those that cannot."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.managed.logs.files import LogFiles, RotationPolicy
from connect_proxy.managed.logs.rotation import rotate_due
from connect_proxy.managed.state_file import DataDirectory
from support.eventually import eventually

POLICY = RotationPolicy(max_bytes=16 * 1024, kept=1000)
ROTATIONS = 8
PROXY = """
import asyncio, os, sys, threading
from connect_proxy.proxy_run.control_door import VARIABLE, control_door

REOPENS = sys.argv[2] == "True"
over = threading.Event()

async def state():
    return {}

async def level(_level):
    pass

def write():
    number = 0
    while not over.is_set():
        os.write(1, b"line %d\\n" % number)
        number += 1
    os.write(2, b"%d" % number)

def read():
    sys.stdin.read()
    over.set()

async def main():
    door = control_door(
        {VARIABLE: sys.argv[1]}, state=state, set_log_level=level, share_ports=level,
        writes_its_own_logs=REOPENS,
    )
    async with door:
        await asyncio.gather(asyncio.to_thread(write), asyncio.to_thread(read))

asyncio.run(main())
"""


@pytest.fixture(params=["the disk", "a file system without collapse"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataDirectory]:
    if request.param == "the disk":
        made = DataDirectory(path=tmp_path / "data")
        made.lock()
        yield made
        made.unlock()
        return
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        pytest.skip("no tmpfs here")
    folder = Path(tempfile.mkdtemp(dir=memory))
    made = DataDirectory(path=folder)
    made.lock()
    yield made
    made.unlock()
    shutil.rmtree(folder)


def proxy(directory: DataDirectory, *, reopens: bool) -> subprocess.Popen[bytes]:
    """One that writes numbered lines to its standard output, from a thread beside its control socket."""
    files = LogFiles(folder=directory.logs_path, proxy_id="web-proxy")
    stdout, stderr = files.open("stdout"), files.open("stderr")
    words = [str(directory.door_path("web-proxy")), str(reopens)]
    started = subprocess.Popen(
        [sys.executable, "-c", PROXY, *words], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
    )
    os.close(stdout)
    os.close(stderr)
    return started


def written(directory: DataDirectory) -> list[bytes]:
    """All lines of its standard output, from the oldest file on."""
    path = LogFiles(folder=directory.logs_path, proxy_id="web-proxy").path("stdout")
    rotated = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    return b"".join(file.read_bytes() for file in [*rotated, path]).splitlines()


def all_lines(directory: DataDirectory) -> list[bytes]:
    """What it says itself that it wrote."""
    path = LogFiles(folder=directory.logs_path, proxy_id="web-proxy").path("stderr")
    return [b"line %d" % number for number in range(int(path.read_bytes()))]


def test_a_proxy_that_reopens_loses_no_line_on_any_file_system(directory: DataDirectory) -> None:
    async def life() -> None:
        rotated = 0
        with proxy(directory, reopens=True) as running:
            assert running.stdin is not None
            await eventually(directory.door_path("web-proxy").exists, "its control socket")
            while rotated < ROTATIONS:
                rotated += await rotate_due(directory, POLICY)
            running.stdin.close()

    asyncio.run(life())
    assert written(directory) == all_lines(directory)


def test_one_that_cannot_reopen_writes_on_to_its_own_file(directory: DataDirectory) -> None:
    path = LogFiles(folder=directory.logs_path, proxy_id="web-proxy").path("stdout")

    async def life() -> None:
        with proxy(directory, reopens=False) as running:
            assert running.stdin is not None
            await eventually(lambda: path.stat().st_size > POLICY.max_bytes, "enough to rotate")
            running.stdin.close()
            await eventually(lambda: path.with_name("web-proxy-stderr.log").read_bytes(), "its last line")
            inode = path.stat().st_ino
            assert await rotate_due(directory, POLICY) == 1
            assert path.stat().st_ino == inode

    asyncio.run(life())
    assert written(directory) == all_lines(directory)


def test_a_proxy_whose_socket_answers_nobody_is_rotated_in_place(directory: DataDirectory) -> None:
    files = LogFiles(folder=directory.logs_path, proxy_id="web-proxy")
    files.path("stdout").write_bytes(b"x" * 20_000)
    directory.door_path("web-proxy").touch()
    assert asyncio.run(rotate_due(directory, POLICY)) == 1
    first = files.path("stdout").with_name("web-proxy-stdout.log.1")
    assert first.read_bytes() + files.path("stdout").read_bytes() == b"x" * 20_000
    assert asyncio.run(rotate_due(directory, POLICY)) == 0
