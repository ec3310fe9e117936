import logging

import pytest

from connect_proxy.errors import (
    AgentAnswerError,
    AgentUnreachableError,
    NoLeaderError,
    NotFoundError,
    PermissionDeniedError,
    UnknownTokenError,
)
from connect_proxy.snapshot.query_health import QueryHealth
from connect_proxy.snapshot.snapshot import FeedStatus
from support.manual_clock import ManualClock

GONE = AgentUnreachableError("gone")


def status(health: QueryHealth) -> FeedStatus:
    return health.status(generation=3, changed_at=None)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_in_the_beginning_all_is_well() -> None:
    assert status(QueryHealth(ManualClock())) == FeedStatus(generation=3, changed_at=None, stale_since=None)


def test_failing_queries_are_listed_in_order_with_the_last_error() -> None:
    health = QueryHealth(ManualClock())
    health.failed("roots", GONE)
    health.failed("leaf", AgentUnreachableError("still gone"))
    assert status(health).failing == ("leaf", "roots")
    assert status(health).last_error == "leaf: still gone"


def test_the_last_error_is_one_that_still_holds() -> None:
    health = QueryHealth(ManualClock())
    health.failed("roots", GONE)
    health.failed("leaf", AgentUnreachableError("gone too"))
    health.answered("leaf")
    assert status(health).last_error == "roots: gone"
    health.answered("roots")
    assert status(health).last_error == ""


def test_it_is_stale_since_the_first_failure_until_all_are_answered() -> None:
    clock = ManualClock()
    health = QueryHealth(clock)
    began = clock.now()
    health.failed("leaf", GONE)
    clock.elapsed = 60
    health.failed("leaf", GONE)
    health.failed("roots", GONE)
    assert status(health).stale_since == began
    health.answered("leaf")
    assert status(health).stale_since == clock.now()
    assert status(health).last_error == "roots: gone"
    health.answered("roots")
    assert status(health) == FeedStatus(generation=3, changed_at=None, stale_since=None)


@pytest.mark.parametrize("error", [NotFoundError("no query"), AgentAnswerError("No path to datacenter")])
def test_one_upstream_that_cannot_be_answered_makes_nothing_stale(error: AgentAnswerError) -> None:
    health = QueryHealth(ManualClock())
    health.failed("upstream db", error)
    assert status(health).failing == ("upstream db",)
    assert status(health).stale_since is None


@pytest.mark.parametrize("error", [GONE, NoLeaderError("no leader")])
def test_an_outage_seen_by_an_upstream_only_makes_it_stale(error: Exception) -> None:
    health = QueryHealth(ManualClock())
    assert isinstance(error, AgentUnreachableError | NoLeaderError)
    health.failed("upstream db", error)
    assert status(health).stale_since is not None


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), UnknownTokenError("no")])
def test_a_refused_token_is_told_as_such(error: PermissionDeniedError | UnknownTokenError) -> None:
    health = QueryHealth(ManualClock())
    health.failed("leaf", error)
    assert status(health).token_refused
    health.answered("leaf")
    assert not status(health).token_refused


def test_a_query_that_is_asked_no_more_is_forgotten() -> None:
    health = QueryHealth(ManualClock())
    health.failed("upstream db", GONE)
    health.forget("upstream db")
    assert status(health).failing == ()
    assert status(health).last_error == ""


def test_retries_are_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    health = QueryHealth(ManualClock())
    for _ in range(5):
        health.failed("leaf", GONE)
    assert len(warnings(caplog)) == 1


def test_an_outage_is_logged_once_for_all_queries(caplog: pytest.LogCaptureFixture) -> None:
    health = QueryHealth(ManualClock())
    for query in ("leaf", "roots", "upstream db"):
        health.failed(query, GONE)
    assert len(warnings(caplog)) == 1


def test_another_kind_of_failure_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    health = QueryHealth(ManualClock())
    health.failed("leaf", GONE)
    health.failed("leaf", UnknownTokenError("unknown token"))
    assert len(warnings(caplog)) == 2


def test_the_recovery_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="connect_proxy.snapshot")
    health = QueryHealth(ManualClock())
    for query in ("leaf", "roots"):
        health.failed(query, GONE)
    for query in ("leaf", "roots", "leaf", "roots"):
        health.answered(query)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.INFO] == [
        "every query is answered again"
    ]
