import pytest

from connect_proxy.dev_agent.records import CRITICAL, PASSING, WARNING, CheckRecord, worst


@pytest.mark.parametrize(
    ("statuses", "aggregated"),
    [
        ([], PASSING),
        ([PASSING, PASSING], PASSING),
        ([PASSING, WARNING], WARNING),
        ([WARNING, CRITICAL, PASSING], CRITICAL),
    ],
)
def test_an_instance_is_as_healthy_as_its_worst_check(statuses: list[str], aggregated: str) -> None:
    checks = tuple(CheckRecord(id=str(n), name="", status=status) for n, status in enumerate(statuses))
    assert worst(checks) == aggregated
