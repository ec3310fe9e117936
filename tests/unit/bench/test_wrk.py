import pytest

from bench.wrk import parsed
from support.processes import ProgramFailedError

OUTPUT = """\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   399.00us  210.75us   5.31ms   88.37%
    Req/Sec    40.51k     1.90k   43.58k    70.00%
  Latency Distribution
     50%  364.00us
     75%  468.00us
     90%  606.00us
     99%    {tail}
  80597 requests in 2.00s, 18.91MB read
{complaints}Requests/sec:  40291.71
Transfer/sec:      9.45MB
"""


def output(tail: str = "1.13ms", complaints: str = "") -> str:
    return OUTPUT.format(tail=tail, complaints=complaints)


def test_the_rate_and_the_99th_percentile_are_found() -> None:
    report = parsed(output())
    assert (report.requests_per_second, report.p99_ms, report.trouble) == (40291.71, 1.13, "")


@pytest.mark.parametrize(
    ("tail", "milliseconds"), [("660.00us", 0.66), ("4.50ms", 4.5), ("1.20s", 1200.0), ("0.50m", 30_000.0)]
)
def test_the_percentile_is_in_milliseconds_whatever_wrk_chose(tail: str, milliseconds: float) -> None:
    assert parsed(output(tail)).p99_ms == pytest.approx(milliseconds)


def test_complaints_are_kept_in_the_words_of_wrk() -> None:
    complaints = "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\n"
    report = parsed(output(complaints=complaints))
    assert (
        report.trouble
        == "Socket errors: connect 0, read 3, write 0, timeout 1; Non-2xx or 3xx responses: 7"
    )


def test_a_run_without_figures_is_a_failure_in_the_words_of_wrk() -> None:
    with pytest.raises(ProgramFailedError, match="unable to connect"):
        parsed("unable to connect to 127.0.0.1:8080 Connection refused")
