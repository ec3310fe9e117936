import pytest

from bench.machine import Machine, processor_name
from bench.page import BEGIN, END, Circumstances, measured_part, with_measured_part
from bench.reading import Reading
from bench.result import Result

MACHINE = Machine(
    processor="Some Processor",
    cores=2,
    memory_gib=23.6,
    system="Debian GNU/Linux 12",
    kernel="6.1",
    python="3.11.7",
    openssl="OpenSSL 3.0.19",
    load=0.25,
)
CIRCUMSTANCES = Circumstances(
    command="python tests/bench/run.py",
    rounds=3,
    seconds=5,
    idle_connections=1000,
    versions=["Envoy 1.40"],
    machine=MACHINE,
)


def test_the_prose_around_the_markers_is_kept() -> None:
    page = f"# Performance\n\n{BEGIN}\n\nold\n\n{END}\n\nHow to read it.\n"
    assert (
        with_measured_part(page, "new") == f"# Performance\n\n{BEGIN}\n\nnew\n\n{END}\n\nHow to read it.\n"
    )


@pytest.mark.parametrize("page", ["no marker", f"only {BEGIN}", f"{END} before {BEGIN}"])
def test_a_page_without_its_markers_is_not_written(page: str) -> None:
    with pytest.raises(ValueError, match="lacks its markers"):
        with_measured_part(page, "new")


def test_a_result_comes_with_its_command_versions_and_machine() -> None:
    result = Result(peers=["envoy"])
    result.add("envoy", Reading(values={"resident": 64.0}), wanted=["resident"])
    part = measured_part(result, CIRCUMSTANCES)
    assert "Medians of 3 interleaved rounds, 5 s for each load, 1,000 idle connections. " in part
    assert "Measured with `python tests/bench/run.py`." in part
    assert "- Envoy 1.40\n- 2 cores of Some Processor, 24 GiB, Debian GNU/Linux 12, Linux 6.1, " in part
    assert "complained" not in part


def test_what_load_tools_complained_of_is_told() -> None:
    result = Result(peers=["go"])
    reading = Reading(values={"requests-16": 5.0}, trouble="Socket errors: timeout 2")
    result.add("go", reading, wanted=["requests-16"])
    assert measured_part(result, CIRCUMSTANCES).endswith("\n- go, requests-16: Socket errors: timeout 2")


def test_the_processor_is_named_by_its_model() -> None:
    text = "processor\t: 0\nmodel name\t: AMD EPYC 9B45\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9B45\n"
    assert processor_name(text) == "AMD EPYC 9B45"
