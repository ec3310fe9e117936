"""Logs on standard error."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from connect_proxy.cli.logs import LEVELS, TRACE, canonical_level, configure_logs, level_name
from connect_proxy.secret import Secret
from connect_proxy.settings.fields import LOG_LEVELS

log = logging.getLogger("connect_proxy.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("asyncio", "httpcore", "httpx", "hpack", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(level: str = "INFO", *, as_json: bool = False) -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level, as_json=as_json, stream=stream)
    return stream


def test_a_line_says_when_how_bad_who_and_what() -> None:
    stream = logged()
    log.warning("agent at %s is away", "x")
    when, level, module, *message = stream.getvalue().split()
    assert when.endswith("Z")
    assert "T" in when
    assert (level, module, message) == ("[WARN]", "connect_proxy.test:", ["agent", "at", "x", "is", "away"])


def test_json_lines_have_the_keys_of_consuls_logs() -> None:
    stream = logged(as_json=True)
    log.error("a\nb")
    entry = json.loads(stream.getvalue())
    assert list(entry) == ["@level", "@message", "@module", "@timestamp"]
    assert (entry["@level"], entry["@message"], entry["@module"]) == ("error", "a\nb", "connect_proxy.test")


def test_a_message_cannot_forge_another_line() -> None:
    stream = logged()
    log.info("one\n2026-01-01T00:00:00.000Z [ERROR] two\r")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_traceback_follows_its_message() -> None:
    text, as_json = logged(), None
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("defect")
        as_json = logged(as_json=True)
        log.exception("defect")
    assert "KeyError: 'x'" in text.getvalue()
    assert "KeyError: 'x'" in json.loads(as_json.getvalue())["stacktrace"]


def test_less_severe_messages_are_left_out() -> None:
    stream = logged("WARN")
    log.info("quiet")
    assert stream.getvalue() == ""


def test_trace_is_below_debug() -> None:
    stream = logged("TRACE")
    log.log(TRACE, "bytes")
    assert "[TRACE]" in stream.getvalue()
    assert logged("DEBUG").getvalue() == ""


def test_libraries_that_log_each_request_are_heard_at_trace_only() -> None:
    stream = logged("DEBUG")
    logging.getLogger("httpx").info("HTTP Request")
    assert stream.getvalue() == ""
    stream = logged("TRACE")
    logging.getLogger("httpx").info("HTTP Request")
    assert "HTTP Request" in stream.getvalue()


def test_a_second_set_up_replaces_the_first() -> None:
    first, second = logged(), logged()
    log.info("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_a_secret_shows_itself_masked() -> None:
    stream = logged()
    log.info("token %s, %r, %s", Secret("abc"), Secret("abc"), {"token": Secret("abc")})
    assert "abc" not in stream.getvalue()


@pytest.mark.parametrize("name", LOG_LEVELS)
def test_every_level_that_can_be_set_is_known(name: str) -> None:
    assert canonical_level(name) in LEVELS


def test_consuls_spelling_of_error_is_known() -> None:
    assert canonical_level("ERR") == "ERROR"


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "TRACE"), (10, "DEBUG"), (25, "INFO"), (30, "WARN"), (50, "ERROR")],
)
def test_numbers_between_levels_count_as_the_lower_one(number: int, name: str) -> None:
    assert level_name(number) == name
