"""What outlives the agent."""

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError, DataDirectoryError, DataDirectoryLockedError
from connect_proxy.managed.state_file import (
    DataDirectory,
    PredecessorRecord,
    ProxyRecord,
    decode,
    encode,
)
from connect_proxy.supervisor.identity import ProcessIdentity

IDENTITY = ProcessIdentity(boot_id="b", pid=7, start_time=9)
RECORD = ProxyRecord(
    id="web-proxy", service_id="web", service_name="web", backend="builtin", process=IDENTITY
)


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    folder = DataDirectory(path=tmp_path / "data")
    folder.lock()
    return folder


def test_what_was_written_is_read(directory: DataDirectory) -> None:
    assert directory.read() == {}
    directory.write({"web-proxy": RECORD})
    assert directory.read() == {"web-proxy": RECORD}


def test_both_processes_of_an_exchange_are_kept(directory: DataDirectory) -> None:
    before = PredecessorRecord(
        process=ProcessIdentity(boot_id="b", pid=5, start_time=6),
        started_at=1.5,
        shares_ports=True,
        addresses={"127.0.0.1:21000": 2},
    )
    record = dataclasses.replace(RECORD, predecessor=before)
    directory.write({"web-proxy": record})
    assert directory.read() == {"web-proxy": record}


def test_a_file_of_before_exchanges_is_read_and_one_without_any_is_written_as_then() -> None:
    assert "predecessor" not in encode({"web-proxy": RECORD})["proxies"]["web-proxy"]
    assert decode(encode({"web-proxy": RECORD})) == {"web-proxy": RECORD}


def test_the_file_is_for_its_owner_alone_and_no_other_is_left(directory: DataDirectory) -> None:
    directory.write({"web-proxy": RECORD})
    assert stat.S_IMODE(directory.state_path.stat().st_mode) == 0o600
    folders = [directory.path, *(path for path in directory.path.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert [path.name for path in directory.state_path.parent.iterdir() if path.is_file()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 2, "proxies": {}}'])
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(directory: DataDirectory, text: str) -> None:
    directory.state_path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"state\.json.*may still run.*remove the file"):
        directory.read()


def test_the_accessors_of_tokens_are_kept_and_nothing_else(directory: DataDirectory) -> None:
    assert directory.tokens() == frozenset()
    directory.write_tokens(frozenset({"b", "a"}))
    assert directory.tokens() == {"a", "b"}
    assert json.loads(directory.tokens_path.read_text()) == {"version": 1, "accessors": ["a", "b"]}


@pytest.mark.parametrize("name", ["registered.json", "tokens.json"])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 2, "ids": [], "accessors": []}']
)
def test_a_list_that_cannot_be_used_is_refused_with_what_to_do(
    directory: DataDirectory, name: str, text: str
) -> None:
    directory.state_path.with_name(name).write_text(text)
    read = {"registered.json": directory.registered, "tokens.json": directory.tokens}[name]
    with pytest.raises(ConfigurationError, match=rf"{name}.*cannot be used.*remove it"):
        read()


@pytest.mark.parametrize("broken", ["state.json", "registered.json", "tokens.json"])
def test_a_file_that_cannot_be_read_or_written_is_named(directory: DataDirectory, broken: str) -> None:
    path = directory.state_path.with_name(broken)
    path.mkdir()
    read, write = {
        "state.json": (directory.read, lambda: directory.write({})),
        "registered.json": (directory.registered, lambda: directory.write_registered(frozenset())),
        "tokens.json": (directory.tokens, lambda: directory.write_tokens(frozenset())),
    }[broken]
    for attempt in (read, write):
        with pytest.raises(DataDirectoryError, match=rf"/{broken}' in the data directory: Is a directory"):
            attempt()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match="/file' is no folder"):
        DataDirectory(path=tmp_path / "file/data").lock()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in somebody else's folder")
def test_root_leaves_the_files_to_whom_the_folder_belongs(directory: DataDirectory) -> None:
    os.chown(directory.state_path.parent, 12345, 12346)
    directory.write({"web-proxy": RECORD})
    status = directory.state_path.stat()
    assert (status.st_uid, status.st_gid) == (12345, 12346)


def test_a_second_agent_is_refused_naming_the_pid_of_the_first(directory: DataDirectory) -> None:
    with pytest.raises(DataDirectoryLockedError, match=rf"agent with pid {os.getpid()};"):
        DataDirectory(path=directory.path).lock()


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from connect_proxy.managed.state_file import DataDirectory;"
        "DataDirectory(path=Path(sys.argv[1])).lock()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    directory = DataDirectory(path=tmp_path)
    directory.lock()
    directory.unlock()
    DataDirectory(path=tmp_path).lock()


@given(
    records=st.lists(
        st.builds(
            ProxyRecord,
            id=st.text(min_size=1),
            service_id=st.text(),
            service_name=st.text(),
            backend=st.text(),
            port=st.integers(0, 65535),
            process=st.none()
            | st.builds(ProcessIdentity, boot_id=st.text(), pid=st.integers(1), start_time=st.integers(0)),
            held=st.booleans(),
            last_exit=st.none() | st.integers(-64, 255),
        )
    )
)
def test_every_record_survives_the_file(records: list[ProxyRecord]) -> None:
    wanted = {record.id: record for record in records}
    assert decode(json.loads(json.dumps(encode(wanted)))) == wanted
