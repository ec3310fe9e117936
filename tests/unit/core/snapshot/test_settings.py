from connect_proxy.snapshot.settings import DEFAULT


def test_a_hanging_agent_is_noticed_within_a_few_minutes() -> None:
    assert DEFAULT.wait_s <= 300


def test_changes_are_held_back_for_a_tenth_of_a_second_at_most() -> None:
    assert 0 < DEFAULT.quiet_s <= DEFAULT.longest_s <= 0.1


def test_a_vanished_registration_is_looked_for_more_often_than_a_failing_agent() -> None:
    assert DEFAULT.absent.ceiling_s < DEFAULT.backoff.ceiling_s
