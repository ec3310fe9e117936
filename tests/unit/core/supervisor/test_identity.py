"""A pid alone means nothing."""

import dataclasses
import os
import subprocess

from connect_proxy.supervisor.identity import (
    boot_id,
    end_session,
    executable_of,
    identity_of,
    open_again,
    session_members,
)
from support.processes import wait_until


def test_this_process_is_found_again() -> None:
    identity = identity_of(os.getpid())
    assert identity is not None
    assert identity.boot_id == boot_id()
    descriptor = open_again(identity)
    assert descriptor is not None
    os.close(descriptor)


def test_another_process_with_that_pid_is_not_taken_for_it() -> None:
    identity = identity_of(os.getpid())
    assert identity is not None
    assert open_again(dataclasses.replace(identity, start_time=identity.start_time - 1)) is None


def test_nothing_of_another_boot_is_found() -> None:
    identity = identity_of(os.getpid())
    assert identity is not None
    assert open_again(dataclasses.replace(identity, boot_id="another")) is None


def test_an_ended_process_is_not_found_even_before_it_is_reaped() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identity_of(child.pid) is None
    child.wait()
    assert identity_of(child.pid) is None


def test_a_name_with_blanks_and_brackets_is_read() -> None:
    script = 'printf ") (a b" > /proc/self/comm && cat'
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE) as child:
        wait_until(lambda: identity_of(child.pid), "the process")
        assert executable_of(child.pid)
        assert child.stdin is not None
        child.stdin.close()


def test_what_is_left_of_a_session_is_ended() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & sleep 61 & exit 0"], start_new_session=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    left = end_session(child.pid)
    assert len(left) == 2
    wait_until(lambda: session_members(child.pid) == (), "the session's end")
    child.wait()
