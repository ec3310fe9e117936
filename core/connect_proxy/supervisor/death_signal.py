"""Run a program that must not outlive the one who starts it (Linux: PR_SET_PDEATHSIG, prctl(2)).

Started as ``python -I -S death_signal.py PARENT_PID SIGNAL PROGRAM ARGV0 ARGS…``, it arms the signal
and becomes the program. Imports nothing of the project and little of the library: it is on the way of
every start. A fork hook cannot do this: between fork and exec of a threaded process only
async-signal-safe calls are allowed, and gRPC has threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arm, look whether the parent died meanwhile, become the program."""
    parent, number, program, *argv = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
    try:
        os.execv(program, argv)  # noqa: S606  (no shell is the point)
    except OSError as exc:
        sys.exit(f"cannot start {program!r}: {exc.strerror}")


if __name__ == "__main__":
    main()
