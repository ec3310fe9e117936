import asyncio

import pytest

from connect_proxy.snapshot.broadcast import Broadcast


def test_a_reader_gets_the_newest_value_first() -> None:
    async def go() -> int:
        source: Broadcast[int] = Broadcast()
        source.publish(1)
        source.publish(2)
        return await anext(source.subscribe())

    assert asyncio.run(go()) == 2


def test_a_slow_reader_misses_what_is_between() -> None:
    async def go() -> list[int]:
        source: Broadcast[int] = Broadcast()
        reader = source.subscribe()
        source.publish(1)
        seen = [await anext(reader)]
        for value in (2, 3, 4):
            source.publish(value)
        return [*seen, await anext(reader)]

    assert asyncio.run(go()) == [1, 4]


def test_every_reader_gets_every_value_it_waits_for() -> None:
    async def go() -> list[list[int]]:
        source: Broadcast[int] = Broadcast()

        async def read() -> list[int]:
            return [value async for value in source.subscribe()]

        readers = [asyncio.create_task(read()) for _ in range(3)]
        for value in (1, 2, 3):
            await asyncio.sleep(0)
            source.publish(value)
            await asyncio.sleep(0)
        source.end()
        return await asyncio.gather(*readers)

    assert asyncio.run(go()) == [[1, 2, 3]] * 3


def test_without_a_value_there_is_none_and_a_reader_waits() -> None:
    async def go() -> bool:
        source: Broadcast[int] = Broadcast()
        assert source.newest is None
        waiting = asyncio.ensure_future(anext(source.subscribe()))
        await asyncio.sleep(0)
        done = waiting.done()
        source.publish(7)
        assert await waiting == 7
        return done

    assert asyncio.run(go()) is False


def test_after_the_end_a_reader_still_gets_the_newest_value() -> None:
    async def go() -> list[int]:
        source: Broadcast[int] = Broadcast()
        source.publish(1)
        source.end()
        return [value async for value in source.subscribe()]

    assert asyncio.run(go()) == [1]


def test_a_cancelled_reader_harms_nobody() -> None:
    async def go() -> int:
        source: Broadcast[int] = Broadcast()
        gone = asyncio.ensure_future(anext(source.subscribe()))
        other = asyncio.ensure_future(anext(source.subscribe()))
        await asyncio.sleep(0)
        gone.cancel()
        source.publish(3)
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await other

    assert asyncio.run(go()) == 3
