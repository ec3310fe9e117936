import uuid

import pytest

from connect_proxy.dev_agent.uuids import check_uuid


def test_a_uuid_is_fine() -> None:
    assert check_uuid(str(uuid.uuid4())) == ""


@pytest.mark.parametrize("text", ["", "zz", "1" * 35])
def test_another_length_is_named(text: str) -> None:
    assert check_uuid(text) == "UUID must be 36 characters"


def test_other_characters_are_named() -> None:
    assert check_uuid("z" * 36) == f'Invalid UUID: "{"z" * 36}"'
