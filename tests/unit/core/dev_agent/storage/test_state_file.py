"""The file of the kept state."""

import asyncio
import json
from pathlib import Path

import pytest

from connect_proxy.dev_agent.storage.capture import captured
from connect_proxy.dev_agent.storage.kept import KeptAgent
from connect_proxy.dev_agent.storage.opening import opened
from connect_proxy.dev_agent.storage.state_file import StateFile, StateText, parsed
from connect_proxy.errors import ConfigurationError, DataDirectoryError
from support.dev_agent_parts import agent_state, register
from support.golden import FOLDER


def kept_agent() -> KeptAgent:
    async def go() -> KeptAgent:
        state = agent_state()
        sidecar = {"Check": {"TTL": "1h"}, "Proxy": {"Upstreams": [{"DestinationName": "db"}]}}
        register(state, {"Name": "web", "Port": 1, "Connect": {"SidecarService": sidecar}})
        state.intentions.create({"SourceName": "a", "DestinationName": "b", "Action": "allow"})
        state.queries.create({"Name": "q", "Service": {"Service": "web", "NodeMeta": {"a": "b"}}})
        kept = captured(state)
        state.checks.stop()
        return kept

    return asyncio.run(go())


def test_what_is_written_is_read_back() -> None:
    kept = kept_agent()
    assert StateText().of(parsed(StateText().of(kept))) == StateText().of(kept)


def test_the_text_of_what_has_not_changed_is_the_same_object_again() -> None:
    text, kept = StateText(), kept_agent()
    assert text.of(kept) == text.of(kept) == StateText().of(kept)


def test_a_file_of_the_first_version_is_read_and_would_be_written_the_same() -> None:
    """Written by the first release that has it: whatever is changed, hosts have files like this one."""
    text = (FOLDER / "server_agent" / "state_v1.json").read_text()
    assert StateText().of(parsed(text)) == text


def test_a_record_is_a_line() -> None:
    lines = StateText().of(kept_agent()).splitlines()
    assert sum(line.startswith('{"id":"web') for line in lines) == 2
    assert json.loads("\n".join(lines))["version"] == 1


def test_there_is_nothing_on_the_first_start_and_then_what_was_written(tmp_path: Path) -> None:
    storage = opened(tmp_path)
    assert storage.kept is None
    assert (tmp_path / "server").stat().st_mode & 0o777 == 0o700
    kept = kept_agent()
    storage.file.write(StateText().of(kept))
    again = opened(tmp_path).kept
    assert again is not None
    assert again.services == kept.services


GOOD = json.loads(StateText().of(kept_agent()))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "it says no version"),
        ("{}", "it says no version"),
        ("[" * 100_000, "it is nested too deeply"),
        (
            json.dumps({**GOOD, "version": 2}),
            "it is of version 2, this program knows 1; a newer connect-proxy",
        ),
        (json.dumps({**GOOD, "version": "1"}), "it is of version '1', this program knows 1;"),
        (json.dumps({**GOOD, "index": "x"}), ".index: not int: 'x'"),
        (json.dumps({**GOOD, "unheard": []}), "unknown or missing: unheard"),
        (json.dumps({**GOOD, "roots": [{**GOOD["roots"][0], "certificate_pem": "x"}]}), "PEM"),
        (json.dumps(GOOD)[:-10], "Unterminated string"),
        ("\xff", "decode"),
    ],
)
def test_what_is_no_state_file_is_refused_by_name_and_left_alone(
    text: str, reason: str, tmp_path: Path
) -> None:
    file = StateFile(tmp_path / "state.json")
    file.path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError) as caught:
        file.read()
    assert str(caught.value).startswith(f"the state file '{file.path}' cannot be used: ")
    assert reason in str(caught.value)
    assert "put back a copy of it, or move it away" in str(caught.value)
    assert file.path.read_text(encoding="latin-1") == text


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "server" / "state.json").mkdir(parents=True)
    with pytest.raises(DataDirectoryError, match=r"state.json' in the data directory: Is a directory"):
        opened(tmp_path)
