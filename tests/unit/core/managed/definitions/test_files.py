from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.errors import AgentConfigurationError
from connect_proxy.managed.definitions.files import read_configuration

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What the tests write is no group's: a machine's umask may say otherwise, and the agent would warn."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def problems(*paths: Path) -> tuple[str, ...]:
    with pytest.raises(AgentConfigurationError) as caught:
        read_configuration(paths)
    return caught.value.problems


def service(path: Path, name: str) -> Path:
    path.write_text(f'{{"service": {{"name": "{name}"}}}}')
    return path


def test_a_folders_files_are_read_in_lexical_order_and_sub_folders_are_not(tmp_path: Path) -> None:
    for name in ("b.json", "a.hcl", "c.json", "B.hcl"):
        service(tmp_path / name, name)
    for name in ("notes.txt", "d.json.bak", ".hcl"):
        (tmp_path / name).write_text("]")
    (tmp_path / "folder.hcl").mkdir()
    service(tmp_path / "folder.hcl" / "e.json", "e")
    found = read_configuration([tmp_path])
    assert [one.name for one in found.services] == ["B.hcl", "a.hcl", "b.json", "c.json"]
    assert found.files == tuple(str(tmp_path / name) for name in ("B.hcl", "a.hcl", "b.json", "c.json"))


def test_files_and_folders_are_read_in_the_order_given(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    service(folder / "x.json", "x")
    paths = [service(tmp_path / "b.json", "b"), folder, service(tmp_path / "a.json", "a")]
    assert [one.name for one in read_configuration(paths).services] == ["b", "x", "a"]


def test_an_empty_folder_says_nothing(tmp_path: Path) -> None:
    assert read_configuration([tmp_path]).files == ()


def test_every_problem_of_every_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text("service {\n")
    (tmp_path / "b.json").write_text('{\n "servic": 1,\n "service": {}\n}')
    (tmp_path / "c.hcl").write_text("data_dir = 1")
    found = problems(tmp_path, tmp_path / "d.hcl")
    assert [line.removeprefix(f"{tmp_path}/").split(" (known")[0] for line in found] == [
        'a.hcl:2:1: expected "}" or a key, found the end of the file',
        'b.json:2:2: unknown key "servic"; did you mean "service"?',
        'b.json:3:2: "service" has no name; every service needs one',
        'c.hcl:1:1: "data_dir" is a number; give a string, such as "x"',
        "d.hcl: cannot be read: No such file or directory; check -config-dir and -config-file",
    ]


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("")
    assert problems(tmp_path / "x.yaml") == (
        f"{tmp_path}/x.yaml: its name ends in neither of .hcl, .json, so its format is not known",
    )


def test_what_is_no_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.hcl").write_bytes(b"# a\n# \xff\n")
    assert problems(tmp_path) == (f"{tmp_path}/x.hcl:2: byte 6 is no UTF-8",)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.hcl", 0o600)
    assert problems(tmp_path) == (f"{tmp_path}/x.hcl: this is no regular file",)


@pytest.mark.parametrize("mode", [0o646, 0o602, 0o666])
def test_a_file_that_everybody_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    service(tmp_path / "x.json", "x").chmod(mode)
    assert problems(tmp_path) == (
        f"{tmp_path}/x.json: everybody may write to it (mode {mode:04o}); chmod o-w it",
    )


def test_a_file_that_its_group_may_write_to_is_warned_of(tmp_path: Path) -> None:
    service(tmp_path / "x.json", "x").chmod(0o660)
    found = read_configuration([tmp_path])
    assert [one.name for one in found.services] == ["x"]
    (warning,) = found.warnings
    assert warning.startswith(f"{tmp_path}/x.json: the group ")
    assert warning.endswith("chmod g-w it")


def test_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    service(folder / "x.json", "x")
    folder.chmod(0o777)
    assert problems(folder) == (f"{folder}: everybody may write to it (mode 0777); chmod o-w it",)
    folder.chmod(0o1777)
    assert [one.name for one in read_configuration([folder]).services] == ["x"]


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "x.json").symlink_to(service(tmp_path / "target", "x"))
    assert [one.name for one in read_configuration([folder]).services] == ["x"]
    (tmp_path / "target").chmod(0o606)
    assert "everybody may write to it" in problems(folder)[0]


@as_root
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(service(tmp_path / "x.json", "x"), 12345, -1)
    assert problems(tmp_path) == (
        f"{tmp_path}/x.json: owned by the user id 12345, neither root nor who runs this (0); chown it",
    )


@contextlib.contextmanager
def acting_as(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@as_root
def test_who_is_not_root_reads_roots_files_and_its_own_but_not_what_is_hidden() -> None:
    # Not tmp_path: the folders around it are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        service(folder / "a.json", "roots").chmod(0o644)
        os.chown(service(folder / "b.json", "own"), 12345, -1)
        with acting_as(12345):
            assert [one.name for one in read_configuration([folder]).services] == ["roots", "own"]
        (folder / "a.json").chmod(0o600)
        with acting_as(12345):
            assert problems(folder) == (f"{folder}/a.json: cannot be read: Permission denied",)


def test_five_hundred_services_are_read(tmp_path: Path) -> None:
    """As many as are promised to be read in less than two seconds; it takes about 0.6."""
    for number in range(500):
        (tmp_path / f"service-{number:03}.hcl").write_text(
            f"""
            service {{
              name = "service-{number}"
              port = {number + 1000}
              tags = ["v1", "primary"]
              meta {{ version = "1" }}
              check {{ tcp = "127.0.0.1:{number + 1000}" interval = "10s" }}
              connect {{ proxy {{
                upstreams {{ destination_name = "db" local_bind_port = {number + 10000} }}
                upstreams {{ destination_name = "cache" local_bind_port = {number + 20000} }}
              }} }}
            }}
            """
        )
    assert len(read_configuration([tmp_path]).services) == 500


def test_a_folder_without_definitions_is_warned_of(tmp_path: Path) -> None:
    folder = tmp_path / "definitions"
    folder.mkdir(mode=0o755)
    (folder / "web.yaml").write_text("service: web")
    assert read_configuration([folder]).warnings == (
        f"{folder}: no definitions are in it: no file ends in .hcl or .json",
    )
