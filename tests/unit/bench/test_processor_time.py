import os

from bench.processor_time import parsed, processor_seconds


def test_user_and_kernel_time_are_added_whatever_the_program_is_called() -> None:
    assert parsed("7 (a ) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 5 0 0") == 300


def test_time_only_grows() -> None:
    before = processor_seconds([os.getpid()])
    assert sum(number * number for number in range(400_000)) > 0
    assert processor_seconds([os.getpid()]) >= before > 0
