"""One JSON line each way over a socket that its owner alone may use."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import ControlError, RefusedError
from connect_proxy.supervisor.control_socket import ControlServer, ask_at, fits, is_closed, listener_at


async def echo(request: Mapping[str, Any]) -> Any:
    return request["text"]


async def refuse(_request: Mapping[str, Any]) -> Any:
    message = "not for you"
    raise RefusedError(message)


async def break_down(_request: Mapping[str, Any]) -> Any:
    return 1 // 0


async def raw(path: Path, line: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    answer = json.loads(await reader.readline())
    writer.close()
    return answer


VERBS = {"echo": echo, "refuse": refuse, "break": break_down}


def test_a_verb_is_answered_and_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    async def life() -> None:
        server = ControlServer(path, VERBS)
        await server.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await ask_at(path, "echo", timeout_s=60, text="hällo\n") == "hällo\n"
        await server.stop()
        assert not path.exists()

    asyncio.run(life())


def test_an_error_keeps_its_words_and_its_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    async def life() -> None:
        server = ControlServer(path, VERBS)
        await server.start()
        with pytest.raises(ControlError, match="not for you") as caught:
            await ask_at(path, "refuse", timeout_s=60)
        assert caught.value.exit_code == 6
        with pytest.raises(ControlError, match="does not know 'sing'") as caught:
            await ask_at(path, "sing", timeout_s=60)
        assert caught.value.exit_code == 2
        with pytest.raises(ControlError, match="ZeroDivisionError"):
            await ask_at(path, "break", timeout_s=60)
        assert (await raw(path, b"no json\n"))["exit_code"] == 2
        assert (await raw(path, b"[]\n"))["exit_code"] == 2
        assert await ask_at(path, "echo", timeout_s=60, text="still there") == "still there"
        await server.stop()

    asyncio.run(life())


def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    path.write_text("left behind")

    async def life() -> None:
        server = ControlServer(path, VERBS)
        await server.start()
        assert await ask_at(path, "echo", timeout_s=60, text="x") == "x"
        await server.stop()

    asyncio.run(life())


def test_nobody_there_is_an_error_that_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"c\.sock' does not answer"):
        asyncio.run(ask_at(tmp_path / "c.sock", "echo", timeout_s=60))


def test_one_who_never_answers_is_given_up(tmp_path: Path) -> None:
    async def hang(_request: Mapping[str, Any]) -> Any:
        await asyncio.Event().wait()

    async def life() -> None:
        server = ControlServer(tmp_path / "c.sock", {"hang": hang})
        await server.start()
        with pytest.raises(ControlError, match="no answer in time"):
            await ask_at(tmp_path / "c.sock", "hang", timeout_s=0.05)
        await server.stop()

    asyncio.run(life())


def test_an_event_loop_that_ends_during_a_conversation_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def hang(_request: Mapping[str, Any]) -> Any:
        asked.set()
        await asyncio.Event().wait()

    async def life() -> None:
        server = ControlServer(tmp_path / "c.sock", {"hang": hang})
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "c.sock"))
        writer.write(b'{"verb": "hang"}\n')
        await asked.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as asyncio.run does at its end
            task.cancel()
        assert await reader.read() == b""
        writer.close()
        await server.stop()

    asyncio.run(life())
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_path_longer_than_a_sockets_does_not_fit() -> None:
    assert fits(Path("/" + "x" * 106))
    assert not fits(Path("/" + "x" * 107))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_path_that_is_too_long_for_a_socket_is_reached_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()

    async def greet(_request: Mapping[str, Any]) -> Any:
        return "hello"

    async def life() -> None:
        server = ControlServer(folder / "web.sock", {"greet": greet})
        await server.start()
        assert stat.S_IMODE((folder / "web.sock").stat().st_mode) == 0o600
        assert await ask_at(folder / "web.sock", "greet", timeout_s=60) == "hello"
        await server.stop()
        assert not (folder / "web.sock").exists()

    asyncio.run(life())


def test_who_listens_is_known_and_who_does_not_is_told_from_who_refuses(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    async def life() -> None:
        server = ControlServer(path, VERBS)
        with pytest.raises(ControlError) as absent:
            await listener_at(path)
        await server.start()
        assert await listener_at(path) == os.getpid()
        with pytest.raises(ControlError) as refused:
            await ask_at(path, "refuse", timeout_s=60)
        await server.stop()
        with pytest.raises(ControlError) as gone:
            await ask_at(path, "echo", timeout_s=60, text="")
        assert [is_closed(error.value) for error in (absent, refused, gone)] == [True, False, True]

    asyncio.run(life())


def test_the_socket_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"

    async def life() -> None:
        first, second = ControlServer(path, VERBS), ControlServer(path, VERBS)
        await first.start()
        await second.start()
        await first.stop()
        assert await ask_at(path, "echo", timeout_s=60, text="hello") == "hello"
        await second.stop()
        assert not path.exists()

    asyncio.run(life())
