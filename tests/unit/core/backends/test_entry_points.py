"""The short way finds what ``importlib_metadata`` finds, or leaves it to that."""

import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import importlib_metadata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.backends.entry_points import EntryPoint, entry_points, from_every_finder, from_folders

BUILTIN = "[connect_proxy.backends]\nmine = package.module\n"
LINES = st.sampled_from(
    [
        "[connect_proxy.backends]",
        "[connect_proxy.extensions]",
        " [connect_proxy.backends] ",
        "[console_scripts]",
        "# a comment",
        "",
        "a = module",
        "  b=module:name  ",
        "c = package.module : object.attribute [extra, other]",
        "d = x = y",
        "ä.ö = modül",
    ]
)
Known = tuple[str, str, str]


def package(folder: Path, name: str = "package-1.0.dist-info", text: str = BUILTIN) -> None:
    (folder / name).mkdir()
    (folder / name / "METADATA").write_text("Metadata-Version: 2.1\nName: package\nVersion: 1.0\n")
    (folder / name / "entry_points.txt").write_text(text, "utf-8")


def known(points: tuple[EntryPoint, ...] | None) -> list[Known]:
    assert points is not None
    return sorted((point.group, point.name, point.value) for point in points)


def test_both_ways_find_the_same_here() -> None:
    assert known(entry_points(tuple(sys.path))) == known(from_every_finder())


@given(st.lists(LINES, max_size=12))
def test_a_file_says_the_same_to_both(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("site")
    package(folder, text="\n".join(lines))
    theirs = [
        (point.group, point.name, point.value)
        for point in importlib_metadata.Distribution.at(folder / "package-1.0.dist-info").entry_points
        if point.group.startswith("connect_proxy.")
    ]
    assert known(from_folders([str(folder)])) == sorted(theirs)


def test_folders_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    package(tmp_path)
    assert len(known(from_folders([str(tmp_path / "nothing"), str(tmp_path)]))) == 1


def test_packages_without_entry_points_have_none(tmp_path: Path) -> None:
    (tmp_path / "other-2.dist-info").mkdir()
    (tmp_path / "old.egg-info").write_text("Name: old\n")
    assert known(from_folders([str(tmp_path)])) == []


def test_a_package_that_is_there_twice_is_left_to_the_thorough_way(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    package(tmp_path / "one", "my.package-1.0.dist-info")
    package(tmp_path / "two", "My_Package-2.0.egg-info")
    assert from_folders([str(tmp_path / "one"), str(tmp_path / "two")]) is None


def test_archives_are_left_to_the_thorough_way(tmp_path: Path) -> None:
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("package-1.0.dist-info/METADATA", "Name: package\nVersion: 1.0\n")
        file.writestr("package-1.0.dist-info/entry_points.txt", BUILTIN)
    assert from_folders([str(archive)]) is None
    assert from_folders([str(tmp_path / "package.egg")]) is None


def test_a_line_that_says_nothing_is_left_to_the_thorough_way(tmp_path: Path) -> None:
    package(tmp_path, text="[connect_proxy.backends]\nmine\n")
    assert from_folders([str(tmp_path)]) is None


def test_packages_that_only_a_finder_knows_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package(tmp_path)
    inner = importlib_metadata.MetadataPathFinder()

    class Finder(importlib_metadata.DistributionFinder):
        def find_spec(self, *_: object) -> ModuleSpec | None:
            return None

        def find_distributions(
            self, context: importlib_metadata.DistributionFinder.Context | None = None
        ) -> list[importlib_metadata.Distribution]:
            del context
            here = importlib_metadata.DistributionFinder.Context(path=[str(tmp_path)])  # type: ignore[no-untyped-call]
            return list(inner.find_distributions(here))

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert from_folders([]) is None
    assert ("connect_proxy.backends", "mine", "package.module") in known(entry_points(tuple(sys.path)))


def test_it_knows_who_installed_it(tmp_path: Path) -> None:
    package(tmp_path)
    points = from_folders([str(tmp_path)])
    assert points is not None
    distribution = points[0].distribution
    assert distribution is not None
    assert (distribution.name, distribution.version) == ("package", "1.0")


def test_it_loads_a_module_or_something_of_it() -> None:
    assert EntryPoint(group="g", name="n", value="os.path").load().__name__ == "posixpath"
    assert (
        EntryPoint(group="g", name="n", value="os : path.join [extra]").load() is __import__("os").path.join
    )
    with pytest.raises(ValueError, match="'not-a-module'"):
        EntryPoint(group="g", name="n", value="not-a-module").load()


def test_a_backend_of_ours_is_loaded_the_short_way() -> None:
    code = (
        "import sys; from connect_proxy.backends import load_backend; load_backend('builtin');"
        " print('importlib_metadata' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
