from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.cli.commands.validate import number_of
from connect_proxy.cli.main import main


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What the tests write is no group's: a machine's umask may say otherwise, and the agent would warn."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "web.hcl").write_text(
        'server = true\nservice { name = "web" port = 8080 connect { proxy {} } }'
    )
    return tmp_path


def test_files_without_a_problem_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.out == "valid: 1 file, 1 service, 1 managed proxy\n"
    assert said.err.startswith(
        "connect-proxy: warning: keys of Consul that mean nothing here are left aside"
    )


def test_every_problem_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.hcl").write_text("service {}\nservce {}\n")
    assert main(["validate", str(folder)]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first == f'connect-proxy: {folder}/a.hcl:1:1: "service" has no name; every service needs one'
    assert second.startswith(f'{folder}/a.hcl:2:1: unknown key "servce"; did you mean "service"?')


def test_clashes_are_problems_and_backends_are_the_installed_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.hcl").write_text(
        'service { name = "api" port = 1 connect { proxy { backend = "envoi" } } }'
    )
    assert main(["validate", str(folder)]) == 3
    assert 'backend "envoi" is unknown; did you mean "envoy"?' in capsys.readouterr().err


def test_json_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-format", "json", str(folder)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts.pop("warnings")) == 1
    assert facts == {"valid": True, "problems": [], "files": 1, "services": 1, "proxies": 1}
    (folder / "a.hcl").write_text("service {}")
    assert main(["validate", "-format=json", str(folder)]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "valid": False,
        "problems": [f'{folder}/a.hcl:1:1: "service" has no name; every service needs one'],
    }


def test_without_a_path_nothing_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 2
    assert "name files or folders: connect-proxy validate PATH..." in capsys.readouterr().err


@pytest.mark.parametrize(("number", "said"), [(0, "0 proxies"), (1, "1 proxy"), (2, "2 proxies")])
def test_what_is_counted_has_its_plural(number: int, said: str) -> None:
    assert number_of(number, "proxy", "proxies") == said
