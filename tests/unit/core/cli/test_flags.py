"""What a command line says to the flags of a verb."""

import pytest

from connect_proxy.cli.flags import Given, interpreted, no_words
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting, Source, Sourced, Type

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


def test_only_what_was_given_is_in_the_layer_with_the_flag_as_its_origin() -> None:
    given = interpreted(["-proxy-id", "web", "-bootstrap=false"], VERB)
    assert given is not None
    assert given.layer == {
        "proxy-id": Sourced("web", Source.FLAG, "-proxy-id"),
        "bootstrap": Sourced("false", Source.FLAG, "-bootstrap"),
    }


def test_an_empty_value_counts_as_given() -> None:
    given = interpreted(["-proxy-id="], VERB)
    assert given is not None
    assert given.layer["proxy-id"].value == ""


def test_the_last_of_a_repeated_flag_wins_unless_it_may_be_repeated() -> None:
    given = interpreted(["-proxy-id=a", "-upstream=x", "-proxy-id=b", "-upstream=y"], VERB)
    assert given is not None
    assert given.layer["proxy-id"].value == "b"
    assert given.layer["upstream"].value == ("x", "y")


@pytest.mark.parametrize("value", ["--", "-proxy-id", "--help", "a b", "ü", "=", "'\""])
def test_no_value_is_taken_for_a_flag(value: str) -> None:
    given = interpreted([f"-proxy-id={value}"], VERB)
    assert given is not None
    assert given.layer["proxy-id"].value == value


def test_words_that_a_verb_does_not_take_are_an_error() -> None:
    with pytest.raises(UsageError, match=r'wait does not take the word "web"; see .* wait --help'):
        no_words(Given(layer={}, positional=("web",)), "wait")
    with pytest.raises(UsageError, match="go after --"):
        no_words(Given(layer={}, positional=("web",)), "run", passthrough=True)
    with pytest.raises(UsageError, match="passes nothing through"):
        no_words(Given(layer={}, passthrough=("x",)), "wait")
    no_words(Given(layer={}, passthrough=("x",)), "run", passthrough=True)
