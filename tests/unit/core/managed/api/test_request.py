from __future__ import annotations

import pytest

from connect_proxy.errors import ApiError
from connect_proxy.managed.api.request import DEFAULT_WAIT_S, LONGEST_WAIT_S, wait_s


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (b"", DEFAULT_WAIT_S),
        (b"wait=", DEFAULT_WAIT_S),
        (b"wait=0s", DEFAULT_WAIT_S),
        (b"wait=-1s", DEFAULT_WAIT_S),
        (b"wait=2s", 2.0),
        (b"wait=20h", LONGEST_WAIT_S),
    ],
)
def test_a_wait_is_above_zero_and_has_an_end(query: bytes, seconds: float) -> None:
    assert wait_s({"query_string": query}) == seconds


def test_a_wait_that_is_no_duration_is_refused_in_consuls_words() -> None:
    with pytest.raises(ApiError, match="Invalid wait time"):
        wait_s({"query_string": b"wait=soon"})
