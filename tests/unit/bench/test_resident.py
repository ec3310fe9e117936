import os
import subprocess
import sys

from bench.resident import family, parsed, resident_kib


def test_resident_memory_is_found_in_the_status_text() -> None:
    assert parsed("Name:\tproxy\nVmHWM:\t   60000 kB\nVmRSS:\t   47096 kB\nThreads:\t3\n") == 47096


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert parsed("Name:\tproxy\nState:\tZ (zombie)\n") == 0


def test_children_count_with_their_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in family(os.getpid())
        assert resident_kib([os.getpid()]) > resident_kib([child.pid]) > 0
        child.communicate(b"\n")
