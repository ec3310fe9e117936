"""The list of backends."""

import json

import pytest

import connect_proxy.backends
from connect_proxy.backends import InstalledBackend
from connect_proxy.cli.commands import backends


def backend(name: str, state: str, reason: str = "") -> InstalledBackend:
    return InstalledBackend(
        name=name,
        distribution=f"connect-proxy-{name}",
        version="1.0",
        module="m",
        state=state,
        reason=reason,
    )


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_proxy.backends, "installed_backends", lambda: (backend("a", "installed"),))
    monkeypatch.setattr(
        connect_proxy.backends,
        "checked_backends",
        lambda: (backend("a", "ok"), backend("b", "broken", "ImportError: x")),
    )


def test_the_list_is_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert backends.execute([]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME  DISTRIBUTION     VERSION  STATE      REASON",
        "a     connect-proxy-a  1.0      installed",
    ]


def test_a_check_says_what_is_wrong_and_still_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert backends.execute(["-check"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == [
        "b",
        "connect-proxy-b",
        "1.0",
        "broken",
        "ImportError:",
        "x",
    ]


def test_the_list_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert backends.execute(["-check", "-format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == ["a", "b"]
    assert listed[1] == {
        "name": "b",
        "distribution": "connect-proxy-b",
        "version": "1.0",
        "module": "m",
        "state": "broken",
        "reason": "ImportError: x",
    }
