"""The first steps of a started process, before it becomes its program.

Started as ``python -I -S trampoline.py PARENT SIGNAL GATE UNSET PROGRAM ARGV0 ARGS…``:

- SIGNAL other than 0: that signal comes when the parent dies (Linux: PR_SET_PDEATHSIG, prctl(2));
- GATE other than -1: a descriptor to wait at until the parent has written one byte. A parent that
  dies first closes it: then this process ends instead. What is written down before the byte is sent
  is so on disk before the program runs;
- UNSET other than empty: a variable that is not the program's, which this Python may have added.

Imports nothing of the project and little of the library: it is on the way of every start. A fork hook
cannot do this: between fork and exec of a threaded process only async-signal-safe calls are allowed,
and gRPC has threads.
"""

import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arm, wait at the gate, become the program."""
    parent, number, gate = (int(word) for word in sys.argv[1:4])
    unset, program, *argv = sys.argv[4:]
    if number:
        end_with(parent, number)
    if gate != -1:
        if os.read(gate, 1) == b"":
            sys.exit("the parent is gone")
        os.close(gate)
    os.environ.pop(unset, None)
    try:
        os.execv(program, argv)  # noqa: S606  (no shell is the point)
    except OSError as exc:
        sys.exit(f"cannot start {program!r}: {exc.strerror}")


def end_with(parent: int, number: int) -> None:
    """Have the kernel send *number* when *parent* dies, and end now if it is dead already."""
    import ctypes  # costs some milliseconds: only where it is needed

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent is gone")


if __name__ == "__main__":
    main()
