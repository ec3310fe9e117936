import logging
from pathlib import Path

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.secret import Secret
from connect_proxy.snapshot.token_file import TokenFile

TOKEN = "5ec5e7c0-ffee-4a11-babe-000000000000"


def client(token: str = "") -> ConsulClient:
    return connect_consul(AgentAccess(token=Secret(token)))


def test_without_a_file_nothing_changes() -> None:
    assert not TokenFile("", client()).refresh()


def test_a_new_token_is_put_in_force_trimmed(tmp_path: Path) -> None:
    path, agent = tmp_path / "token", client("old")
    path.write_text(f"  {TOKEN}\n")
    assert TokenFile(str(path), agent).refresh()
    assert agent.access.token.reveal() == TOKEN


def test_the_token_that_is_in_force_already_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    assert not TokenFile(str(path), client(TOKEN)).refresh()


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path, agent = tmp_path / "token", client()
    path.write_text("first")
    tokens = TokenFile(str(path), agent)
    assert tokens.refresh()
    assert not tokens.refresh()
    other = tmp_path / "next"
    other.write_text("other")
    other.replace(path)
    assert tokens.refresh()
    assert agent.access.token.reveal() == "other"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_an_empty_or_unreadable_content_keeps_the_token(tmp_path: Path, content: bytes) -> None:
    path, agent = tmp_path / "token", client("old")
    path.write_bytes(content)
    assert not TokenFile(str(path), agent).refresh()
    assert agent.access.token.reveal() == "old"


def test_a_missing_file_is_told_once_and_read_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, agent = tmp_path / "token", client("old")
    tokens = TokenFile(str(path), agent)
    assert not tokens.refresh()
    assert not tokens.refresh()
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    path.write_text("back")
    assert tokens.refresh()
    assert agent.access.token.reveal() == "back"


def test_the_token_is_never_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "token"
    path.write_text(TOKEN)
    TokenFile(str(path), client()).refresh()
    path.write_bytes(TOKEN.encode() + b"\xff")
    TokenFile(str(path), client()).refresh()
    assert caplog.records
    assert TOKEN not in caplog.text
