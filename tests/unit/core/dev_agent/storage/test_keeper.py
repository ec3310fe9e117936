"""When the state is written."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connect_proxy.dev_agent.storage.capture import captured
from connect_proxy.dev_agent.storage.keeper import Keeper
from connect_proxy.dev_agent.storage.kept import KeptAgent
from connect_proxy.dev_agent.storage.state_file import StateFile, parsed
from connect_proxy.durable_file import unusable
from connect_proxy.errors import ApiError, DataDirectoryError
from support.dev_agent_parts import agent_state
from support.eventually import eventually

FULL = OSError(28, "No space left on device")


class SlowFile(StateFile):
    """Counts what is written, can be held up, and has a disk that may be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.texts: list[str] = []
        self.full = False
        self.may_write = threading.Event()
        self.may_write.set()
        self.reserved = 0

    def reserve(self, size: int) -> None:
        self.reserved = size
        if self.full:
            raise unusable(self.path, FULL)

    def write(self, text: str) -> None:
        assert self.may_write.wait(60)
        if self.full:
            raise unusable(self.path, FULL)
        self.texts.append(text)


class Case:
    def __init__(self, folder: Path) -> None:
        self.kept: KeptAgent = captured(agent_state())
        self.file = SlowFile(folder / "state.json")
        self.keeper = Keeper(self.file, lambda: self.kept)

    def change(self) -> None:
        self.kept = replace(self.kept, index=self.kept.index + 1, intentions=())
        self.kept = replace(self.kept, node=replace(self.kept.node, modify_index=self.kept.index))
        self.keeper.touch()

    @property
    def last(self) -> KeptAgent:
        return parsed(self.file.texts[-1])


def run(folder: Path, use: Callable[[Case], Awaitable[None]]) -> Case:
    async def go() -> Case:
        case = Case(folder)
        await case.keeper.start()
        await use(case)
        await case.keeper.stop()
        return case

    return asyncio.run(go())


def test_a_change_is_on_disk_once_it_is_settled(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.change()
        await case.keeper.settle()
        assert case.last.node == case.kept.node

    run(tmp_path, use)


def test_what_nobody_waits_for_is_written_too(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.change()
        await eventually(lambda: case.last.node == case.kept.node, "the change on disk")

    run(tmp_path, use)


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        await case.keeper.admit(0)
        await case.keeper.settle()
        assert len(case.file.texts) == 1

    run(tmp_path, use)


def test_changes_that_come_while_one_is_written_go_together(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.file.may_write.clear()
        case.change()
        waiting = [asyncio.create_task(case.keeper.settle())]
        await asyncio.sleep(0)
        for _ in range(50):
            case.change()
            waiting.append(asyncio.create_task(case.keeper.settle()))
        await asyncio.sleep(0)
        case.file.may_write.set()
        await asyncio.gather(*waiting)
        assert case.last.node == case.kept.node
        assert len(case.file.texts) <= 3

    run(tmp_path, use)


def test_the_kept_index_is_above_what_was_seen_and_exact_at_the_end(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        for _ in range(3):
            case.kept = replace(case.kept, index=case.kept.index + 3000)
            case.keeper.touch()
            await case.keeper.settle()
            assert case.last.index >= case.kept.index + 1000

    case = run(tmp_path, use)
    assert case.last.index == case.kept.index


def test_a_full_disk_refuses_a_write_before_it_begins(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.file.full = True
        with pytest.raises(ApiError, match=r"state.json' in the data directory: No space left") as caught:
            await case.keeper.admit(10)
        assert caught.value.status == 500
        case.file.full = False
        await case.keeper.admit(10)
        assert case.file.reserved > 10

    run(tmp_path, use)


def test_a_disk_that_fails_while_writing_refuses_until_it_is_mended(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.file.full = True
        case.change()
        for attempt in (case.keeper.settle, lambda: case.keeper.admit(1)):
            with pytest.raises(ApiError, match="No space left"):
                await attempt()
        case.file.full = False
        await case.keeper.admit(1)
        assert case.last.node == case.kept.node

    run(tmp_path, use)


def test_room_is_kept_for_all_that_is_under_way(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        await case.keeper.admit(1000)
        one = case.file.reserved
        await case.keeper.admit(1000)
        assert case.file.reserved > one + 1000
        await case.keeper.settle()
        await case.keeper.admit(1000)
        assert case.file.reserved == one
        assert len(case.file.texts) == 1

    run(tmp_path, use)


def test_the_start_fails_where_nothing_can_be_kept(tmp_path: Path) -> None:
    async def go() -> None:
        case = Case(tmp_path)
        case.file.full = True
        with pytest.raises(DataDirectoryError, match="No space left"):
            await case.keeper.start()
        await case.keeper.stop()

    asyncio.run(go())


def test_what_cannot_be_kept_at_the_end_does_not_hinder_the_end(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        case.file.full = True
        case.change()

    assert len(run(tmp_path, use).file.texts) == 1


def test_a_defect_is_told_to_who_waits_and_ends_nothing(tmp_path: Path) -> None:
    async def use(case: Case) -> None:
        good, case.kept = case.kept, None  # type: ignore[assignment]
        case.keeper.touch()
        with pytest.raises(ApiError, match="a defect"):
            await case.keeper.settle()
        case.kept = good
        await case.keeper.admit(0)

    run(tmp_path, use)
