"""The help of a verb."""

import pytest

from connect_proxy.cli.flags import interpreted
from connect_proxy.cli.help_page import help_page
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.settings.fields import CORE
from connect_proxy.settings.setting import Setting, Type

ROWS = (
    Setting(name="proxy-id", env="CONNECT_PROXY_ID", metavar="ID", group="General", help="Which proxy."),
    Setting(name="bootstrap", type=Type.BOOLEAN, default=False, group="General", help="Print only."),
    Setting(name="verify", type=Type.BOOLEAN, default=True, group="General", help="Check."),
    Setting(name="wait", type=Type.DURATION, default=30.0, group="General", help="How long."),
    Setting(name="auth", flag=False, help="Never a flag."),
    Setting(name="xds", default="auto", choices=("auto", "local"), help="Who configures."),
    Setting(name="upstream", type=Type.STRINGS, default=(), metavar="NAME", help="May be repeated."),
)
VERB = VerbCommand("run", ROWS, usage="[OPTIONS]", summary="Run it.", own="Options of the backend envoy")


def test_the_help_is_grouped_and_says_variable_default_and_choices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert interpreted(["--help"], VERB) is None
    page = capsys.readouterr().out
    general, own = page.split("Options of the backend envoy:")
    assert "General options:" in general
    assert "--proxy-id ID" in general
    assert "[env: CONNECT_PROXY_ID]" in general
    assert "--wait DURATION" in general
    assert "default: 30s" in general
    assert "--xds auto|local" in own
    assert "default: auto" in own
    assert "auth" not in page
    assert "one dash or two" in page


def test_a_boolean_shows_no_value_in_the_help() -> None:
    lines = help_page(VERB).splitlines()
    assert any(line.split() == ["--bootstrap", "Print", "only."] for line in lines)


def test_every_flag_of_the_core_is_in_the_help() -> None:
    page = help_page(VerbCommand("run", CORE, usage="", summary=""))
    assert [row.name for row in CORE if row.flag and f"--{row.name}" not in page] == []
    assert max(map(len, page.splitlines())) <= 100
