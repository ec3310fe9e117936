import errno
import socket
import ssl

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.failures import unreachable

HTTP = AgentAccess()
HTTPS = AgentAccess(scheme="https")


def wrapped(inner: BaseException) -> Exception:
    """As an HTTP library hands it on: two layers that say nothing themselves."""
    middle, outer = RuntimeError(), RuntimeError()
    middle.__context__ = inner
    outer.__cause__ = middle
    return outer


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("inner", "told", "remedy"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused", "start the agent"),
        (socket.gaierror(-2, "Name or service not known"), "name is not found", "-http-addr"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "no such socket", "path"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied", "permissions"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host", "network"),
    ],
)
def test_what_the_system_says_is_found_below_the_library(inner: OSError, told: str, remedy: str) -> None:
    text = str(unreachable(wrapped(inner), HTTP))
    assert "'http://127.0.0.1:8500'" in text
    assert told in text
    assert remedy in text


def test_the_cause_is_found_inside_a_group_of_failed_attempts() -> None:
    attempts = ExceptionGroup("", [ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")])
    assert "refused" in str(unreachable(wrapped(attempts), HTTP))


@pytest.mark.parametrize(
    "reason", ["WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"]
)
def test_an_answer_that_is_no_tls_is_the_wrong_scheme(reason: str) -> None:
    text = str(unreachable(wrapped(tls_error(reason)), HTTPS))
    assert "wrong scheme" in text
    assert "'http://127.0.0.1:8500'" in text


@pytest.mark.parametrize("reason", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA"])
def test_an_agent_that_wants_a_client_certificate_is_told(reason: str) -> None:
    assert "-client-cert" in str(unreachable(wrapped(tls_error(reason)), HTTPS))


@pytest.mark.parametrize(
    ("access", "hint"),
    [
        (HTTP, "https://"),
        (HTTPS, "-client-cert"),
        (AgentAccess(scheme="https", client_cert="c"), "its log"),
        (AgentAccess(scheme="unix", socket_path="/s"), "its log"),
    ],
)
def test_a_reset_connection_hints_at_what_the_agent_may_expect(access: AgentAccess, hint: str) -> None:
    reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    text = str(unreachable(wrapped(reset), access))
    assert "was reset" in text
    assert hint in text


def test_a_tls_engine_that_wanted_more_bytes_is_no_failure() -> None:
    reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    reset.__context__ = ssl.SSLWantReadError(2, "The operation did not complete")
    assert "was reset" in str(unreachable(wrapped(reset), HTTPS))


def test_any_other_tls_failure_names_its_reason() -> None:
    assert "no_shared_cipher" in str(unreachable(wrapped(tls_error("NO_SHARED_CIPHER")), HTTPS))


def test_a_failure_without_a_known_cause_says_what_there_is() -> None:
    assert "something odd" in str(unreachable(RuntimeError("something odd"), HTTP))
    assert "RuntimeError" in str(unreachable(RuntimeError(), HTTP))


def test_causes_that_go_in_circles_come_to_an_end() -> None:
    first, second = RuntimeError(), RuntimeError()
    first.__context__, second.__context__ = second, first
    assert "RuntimeError" in str(unreachable(first, HTTP))
