import asyncio
from datetime import timedelta

from connect_proxy.consul.clock import SystemClock


def test_the_wall_clock_is_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_random_numbers_are_from_0_up_to_1() -> None:
    numbers = [SystemClock().random() for _ in range(100)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 1


def test_after_sleeping_time_has_passed() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    asyncio.run(clock.sleep(0.001))
    assert clock.monotonic() > before
