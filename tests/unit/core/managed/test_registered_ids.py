from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.managed.registered_ids import FILE_NAME, read_ids, write_ids


def test_ids_survive_on_disk(tmp_path: Path) -> None:
    assert read_ids(tmp_path) == frozenset()
    write_ids(tmp_path, frozenset({"web", "web-proxy"}))
    write_ids(tmp_path, frozenset({"web"}))
    assert read_ids(tmp_path) == {"web"}


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    write_ids(tmp_path, frozenset({"web"}))
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ['{"version": 2}', "[]", "", '{"version": 1}', '{"version": 1, "ids": 3}']
)
def test_a_file_that_is_none_of_ours_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(ConfigurationError, match=r"registered\.json"):
        read_ids(tmp_path)
