"""Give everything that reads bytes from the network bytes that were made to break it, by atheris.

    python tests/fuzz/run.py [--seconds 60] [TARGET ...]

Each target runs in a process of its own for so long. What was found to reach new code is kept in
``.cache/fuzz/TARGET`` and is where the next run begins; an input that breaks a target stays in
``.cache/fuzz`` too, and is told.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # started as a script: `fuzz` and `support` are packages beside it
    sys.path.insert(0, str(TESTS))

KEPT: Final = TESTS.parent / ".cache" / "fuzz"
SECONDS: Final = 60
MOST_SECONDS_OF_ONE: Final = 20
MOST_MIB: Final = 1024
PROGRAM_MISSING: Final = 4
WATCHED: Final = ("connect_proxy", "connect_proxy_builtin")
"""Packages whose branches steer the search."""
MISSING: Final = "atheris is missing: .venv/bin/python -m pip install atheris"


def fuzz_one(name: str, seconds: int) -> None:
    """This process is for one target. Ends it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(WATCHED)):
        targets = importlib.import_module("fuzz.targets")
    target = targets.TARGETS[name]
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-timeout={MOST_SECONDS_OF_ONE}",
        f"-rss_limit_mb={MOST_MIB}",
        f"-artifact_prefix={KEPT}/{name}-",
        "-verbosity=0",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup(words, target.run)
    atheris.Fuzz()


def fuzz(names: Sequence[str], seconds: int) -> int:
    """Every one in turn; 1 if any broke."""
    broken = []
    for name in names:
        argv = [sys.executable, __file__, "--seconds", str(seconds), "--one", name]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        executed = [line.split()[-1] for line in done.stderr.splitlines() if "executed_units" in line]
        if done.returncode == 0:
            print(f"{name}: {''.join(executed) or '?'} inputs, nothing broke")
        else:
            broken.append(name)
            print(f"{name}: BROKE (exit code {done.returncode})\n{(done.stdout + done.stderr)[-4000:]}")
    return 1 if broken else 0


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 something broke; 2 usage; 4 atheris is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"for each target ({SECONDS})")
    parser.add_argument("--one", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them")
    given = parser.parse_args(words)
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return PROGRAM_MISSING
    if given.one:
        fuzz_one(given.one, given.seconds)
        return 0
    known = tuple(importlib.import_module("fuzz.targets").TARGETS)
    if unknown := sorted(set(given.targets) - set(known)):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(known)}")
    return fuzz(given.targets or known, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
