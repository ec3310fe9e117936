"""A process changes the files that it writes to."""

import subprocess
import sys
from pathlib import Path

CODE = """
import os, sys
from connect_proxy.errors import ProxyControlError
from connect_proxy.proxy_run.log_reopening import reopen

print("before")
try:
    reopen({"stdout": sys.argv[1], "stderr": sys.argv[2]})
except ProxyControlError as exc:
    os.write(1, str(exc).encode())
print("after")
print("talk", file=sys.stderr, flush=True)
"""


def written(*paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *map(str, paths)], capture_output=True, text=True, check=True
    )


def test_what_is_written_later_goes_to_the_new_files(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    err.write_text("there was something\n")
    done = written(out, err)
    assert (done.stdout, done.stderr) == ("before\n", "")
    assert (out.read_text(), err.read_text()) == ("after\n", "there was something\ntalk\n")
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened_leaves_the_former_one(tmp_path: Path) -> None:
    done = written(tmp_path / "out", tmp_path / "missing/err")
    assert done.stdout == "before\n"
    said = (tmp_path / "out").read_text()
    assert said.startswith("stderr is not written to")
    assert "No such file or directory; it stays where it was" in said
    assert done.stderr == "talk\n"
