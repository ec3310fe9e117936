"""Backends and extensions of strangers, installed as packages of their own, through the real program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.agents import AgentUnderTest, client_environment
from support.packages import install, with_packages

pytestmark = pytest.mark.integration

PROGRAM = Path(sys.executable).with_name("connect-proxy")
TOKEN = "0d1f5a3c-8f6e-4a6e-9d6b-2f1b6f7c9e10"


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    return install(folder, "connect-proxy-recorder", "connect-proxy-hostile", "connect-proxy-tracing")


def run(
    strangers: Path, agent: AgentUnderTest, *argv: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    quiet = {"CONNECT_PROXY_EXTENSIONS": ""}  # the extension is installed, and wanted by one test alone
    env = client_environment(**({"CONSUL_HTTP_ADDR": agent.address} | quiet | variables))
    return subprocess.run(
        [PROGRAM, *argv],
        env=with_packages(strangers, env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def web(agent: AgentUnderTest) -> AgentUnderTest:
    agent.api.register(
        {"Name": "web", "Port": 8080, "Connect": {"SidecarService": {}}},
    )
    return agent


def test_a_strangers_backend_is_found_and_runs(
    strangers: Path, web: AgentUnderTest, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    options = ("-sidecar-for", "web", f"-recorder-file={record}", "--recorder-exit", "7")
    outcome = run(strangers, web, "--backend", "recorder", *options, "--", "-l", "debug")
    assert outcome.returncode == 7, outcome.stderr
    said = json.loads(record.read_text())
    assert said["config"]["service"] == "web"
    assert said["argv"] == ["-l", "debug"]


def test_a_strangers_backend_is_a_command_too_and_has_its_options_in_the_help(
    strangers: Path, web: AgentUnderTest
) -> None:
    outcome = run(strangers, web, "recorder", "--help")
    assert outcome.returncode == 0, outcome.stderr
    assert "recorder-file" in outcome.stdout
    assert "Where to write the record." in outcome.stdout


def test_a_bootstrap_of_a_strangers_backend_masks_what_it_called_secret(
    strangers: Path, web: AgentUnderTest, tmp_path: Path
) -> None:
    options = ("-sidecar-for", "web", "-recorder-file", str(tmp_path / "r"), "-bootstrap")
    outcome = run(strangers, web, "recorder", *options, CONNECT_PROXY_TOKEN=TOKEN)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["token"] == "<hidden>"
    assert TOKEN not in outcome.stdout + outcome.stderr


def test_an_extension_changes_what_any_backend_launches(
    strangers: Path, web: AgentUnderTest, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    options = ("-sidecar-for", "web", "-recorder-file", str(record))
    outcome = run(strangers, web, "recorder", *options, CONNECT_PROXY_EXTENSIONS="tracing")
    assert outcome.returncode == 0, outcome.stderr
    said = json.loads(record.read_text())
    assert said["argv"] == ["--traced"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("import_error", 1, "No module named 'a_module_that_does_not_exist'"),
        ("misspelt_hook", 1, "unknown hook 'render_confg'"),
        ("raising_hook", 1, "backend 'raising_hook' failed in render_config: KeyError: 'upstream'"),
        ("nosuch", 2, "no backend is named 'nosuch'; installed are builtin"),
    ],
)
def test_a_broken_one_says_so_in_one_line_without_a_traceback(
    strangers: Path, web: AgentUnderTest, name: str, code: int, said: str
) -> None:
    outcome = run(strangers, web, "--backend", name, "-sidecar-for", "web")
    assert outcome.returncode == code
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_broken_strangers_do_not_disturb_ours(strangers: Path, web: AgentUnderTest) -> None:
    outcome = run(
        strangers, web, "custom_exec", "-sidecar-for", "web", "--", "sh", "-c", "echo $CONNECT_PROXY_ID"
    )
    assert (outcome.returncode, outcome.stdout) == (0, "web-sidecar-proxy\n"), outcome.stderr


def test_the_list_says_what_is_wrong_with_each(strangers: Path, web: AgentUnderTest) -> None:
    outcome = run(strangers, web, "backends", "-format", "json")
    rows = {(row["name"], row["distribution"]): row for row in json.loads(outcome.stdout)}
    assert rows["recorder", "connect-proxy-recorder"]["state"] == "installed"
    assert rows["recorder", "connect-proxy-recorder"]["version"] == "1.2.3"
    assert rows["import_error", "connect-proxy-hostile"]["state"] == "broken"
    assert "a_module_that_does_not_exist" in rows["import_error", "connect-proxy-hostile"]["reason"]
    assert rows["builtin", "connect-proxy"]["state"] == "installed"
    assert rows["builtin", "connect-proxy-hostile"]["state"] == "shadowed"
