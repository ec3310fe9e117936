"""The versions."""

import json
import platform
import ssl

import pytest

import connect_proxy
import connect_proxy.backends
from connect_proxy.backends import InstalledBackend
from connect_proxy.cli.commands import version
from connect_proxy.errors import BackendLoadError


class DescribedBackend:
    """A backend that would use one program."""

    def describe(self) -> dict[str, str]:
        return {"painter": "/usr/bin/painter 2.1"}


@pytest.fixture
def _two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> DescribedBackend:
        if name == "broken":
            message = "it fails to load"
            raise BackendLoadError(message)
        return DescribedBackend()

    installed = tuple(
        InstalledBackend(name=name, distribution="d", version="1", module="m", state="installed")
        for name in ("broken", "painted")
    )
    monkeypatch.setattr(connect_proxy.backends, "installed_backends", lambda: installed)
    monkeypatch.setattr(connect_proxy.backends, "load_backend", load)


def test_the_first_line_is_the_programs_own_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert version.execute([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"connect-proxy {connect_proxy.__version__}"
    assert lines[1].startswith(f"Python {platform.python_version()}")
    assert lines[2] == ssl.OPENSSL_VERSION
    assert {f"backend {name} " for name in ("builtin", "custom_exec", "envoy")} <= {
        line[: len(f"backend {line.split()[1]} ")] for line in lines if line.startswith("backend")
    }


@pytest.mark.usefixtures("_two_backends")
def test_a_broken_backend_is_said_in_its_place_and_harms_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert version.execute([]) == 0
    assert capsys.readouterr().out.splitlines()[4:] == [
        "backend broken (d 1)",
        "  unusable: it fails to load",
        "backend painted (d 1)",
        "  painter: /usr/bin/painter 2.1",
    ]


@pytest.mark.usefixtures("_two_backends")
def test_the_versions_are_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert version.execute(["-format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"connect-proxy", "python", "openssl", "platform", "backends"}
    assert facts["backends"][0]["error"] == "it fails to load"
    assert facts["backends"][1]["programs"] == {"painter": "/usr/bin/painter 2.1"}
