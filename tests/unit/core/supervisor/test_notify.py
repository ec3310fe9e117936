"""The sd_notify protocol, against a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.supervisor.notify import ServiceManager, service_manager


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def _manager(inbox: socket.socket) -> ServiceManager:
    return service_manager({"NOTIFY_SOCKET": inbox.getsockname()}, pid=1)


def test_ready_is_told_with_a_status(inbox: socket.socket) -> None:
    _manager(inbox).ready("serving web")
    assert inbox.recv(4096) == b"READY=1\nSTATUS=serving web"


def test_stopping_is_told(inbox: socket.socket) -> None:
    _manager(inbox).stopping()
    assert inbox.recv(4096) == b"STOPPING=1"


def test_reloading_carries_the_monotonic_time_in_microseconds(inbox: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    _manager(inbox).reloading()
    first, second = inbox.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, value = second.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_of_several_lines_becomes_one_and_cannot_smuggle_in_another_message(
    inbox: socket.socket,
) -> None:
    _manager(inbox).status("agent away\nREADY=1")
    assert inbox.recv(4096) == b"STATUS=agent away READY=1"


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda manager: manager.main_pid(42), b"MAINPID=42"),
        (lambda manager: manager.alive(), b"WATCHDOG=1"),
        (lambda manager: manager.extend_timeout(2.5), b"EXTEND_TIMEOUT_USEC=2500000"),
    ],
)
def test_the_other_messages(inbox: socket.socket, act, expected: bytes) -> None:  # type: ignore[no-untyped-def] # lambdas
    act(_manager(inbox))
    assert inbox.recv(4096) == expected


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="abstract sockets are Linux's")
def test_a_name_in_the_abstract_namespace_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"connect-proxy-test-{os.getpid()}"
        listening.bind("\0" + name)
        listening.settimeout(60)
        service_manager({"NOTIFY_SOCKET": f"@{name}"}, pid=1).ready()
        assert listening.recv(4096) == b"READY=1"


def test_without_a_manager_nothing_is_said_and_nothing_fails() -> None:
    manager = service_manager({}, pid=1)
    manager.ready()
    assert not manager.is_there
    assert manager.watchdog_interval_s == 0


def test_a_manager_that_is_gone_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager(str(tmp_path / "gone"))
    manager.ready()
    manager.stopping()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "READY=1" in caplog.text


def test_the_watchdog_wants_a_sign_at_half_its_time() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    assert service_manager(environment, pid=7).watchdog_interval_s == 15
    assert service_manager(environment, pid=8).watchdog_interval_s == 0
    assert service_manager({"WATCHDOG_USEC": "2000000"}, pid=8).watchdog_interval_s == 1


@pytest.mark.parametrize(
    "environment",
    [{"NOTIFY_SOCKET": "vsock:2:1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_PID": "-1"}],
)
def test_a_malformed_variable_is_named_with_its_value(environment: dict[str, str]) -> None:
    (name, value) = next(iter(environment.items()))
    with pytest.raises(ConfigurationError, match=f'{name} is "{value}"'):
        service_manager(environment, pid=1)
