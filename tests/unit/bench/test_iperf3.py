import json

import pytest

from bench.iperf3 import parsed
from support.processes import ProgramFailedError


def test_throughput_is_what_the_receiver_counted_over_all_streams() -> None:
    end = {"sum_sent": {"bits_per_second": 9.9e9}, "sum_received": {"bits_per_second": 6.25e9}}
    assert parsed(json.dumps({"start": {}, "end": end})) == 6.25


def test_an_error_of_iperf3_is_a_failure_in_its_words() -> None:
    with pytest.raises(ProgramFailedError, match="the server is busy"):
        parsed(json.dumps({"error": "error - the server is busy running a test. try again later"}))


def test_output_that_is_no_json_is_a_failure() -> None:
    with pytest.raises(ProgramFailedError, match="no JSON: 'iperf3: command'"):
        parsed("iperf3: command")
