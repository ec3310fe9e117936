"""Go's command line, normalised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.cli.arguments import Arguments, asks_for_help, normalised, peeked
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting, Type

ROWS = (
    Setting(name="proxy-id", help=""),
    Setting(name="sidecar-for", help=""),
    Setting(name="bootstrap", type=Type.BOOLEAN, default=False, help=""),
    Setting(name="upstream", type=Type.STRINGS, default=(), help=""),
    Setting(name="http-auth", env="CONSUL_HTTP_AUTH", flag=False, help=""),
)


@pytest.mark.parametrize(
    "words",
    [
        ["-proxy-id", "web"],
        ["--proxy-id", "web"],
        ["-proxy-id=web"],
        ["--proxy-id=web"],
    ],
)
def test_one_dash_or_two_and_the_value_in_the_same_word_or_the_next(words: list[str]) -> None:
    assert normalised(words, ROWS) == Arguments(flags=(("proxy-id", "web"),))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("-bootstrap", "true"),
        ("--bootstrap", "true"),
        ("-bootstrap=1", "true"),
        ("-bootstrap=T", "true"),
        ("-bootstrap=false", "false"),
        ("--bootstrap=0", "false"),
    ],
)
def test_a_boolean_takes_its_value_only_in_the_same_word(word: str, value: str) -> None:
    assert normalised([word, "false"], ROWS) == Arguments(
        flags=(("bootstrap", value),), positional=("false",)
    )


@pytest.mark.parametrize("value", ["maybe", "", "yes", "TruE"])
def test_an_unparsable_boolean_flag_is_an_error(value: str) -> None:
    with pytest.raises(UsageError, match="not a boolean; use one of 1, t"):
        normalised([f"-bootstrap={value}"], ROWS)


def test_flags_end_at_the_first_word_that_is_none() -> None:
    found = normalised(["-bootstrap", "web", "-nosuch", "--", "x"], ROWS)
    assert found.positional == ("web", "-nosuch", "--", "x")
    assert found.passthrough == ()


def test_a_lone_dash_and_an_empty_word_are_no_flags() -> None:
    assert normalised(["-"], ROWS).positional == ("-",)
    assert normalised([""], ROWS).positional == ("",)


def test_what_follows_two_dashes_is_never_looked_at() -> None:
    found = normalised(["-bootstrap", "--", "-nosuch", "--help", "--", "-proxy-id"], ROWS)
    assert found.passthrough == ("-nosuch", "--help", "--", "-proxy-id")
    assert not found.wants_help


def test_an_empty_value_is_a_value() -> None:
    assert normalised(["-proxy-id="], ROWS).flags == (("proxy-id", ""),)
    assert normalised(["-proxy-id", ""], ROWS).flags == (("proxy-id", ""),)


def test_a_value_may_begin_with_a_dash_and_hold_an_equals_sign() -> None:
    assert normalised(["-proxy-id", "-5"], ROWS).flags == (("proxy-id", "-5"),)
    assert normalised(["-proxy-id=a=b"], ROWS).flags == (("proxy-id", "a=b"),)


@pytest.mark.parametrize("words", [["-proxy-id"], ["-proxy-id", "--", "web"]])
def test_a_flag_without_its_value_is_an_error(words: list[str]) -> None:
    with pytest.raises(UsageError, match='flag "-proxy-id" needs a value'):
        normalised(words, ROWS)


def test_a_known_flag_is_not_swallowed_as_a_value() -> None:
    with pytest.raises(UsageError, match='needs a value, but the flag "-bootstrap" follows'):
        normalised(["-proxy-id", "-bootstrap"], ROWS)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("-sidecar-fro", 'did you mean "-sidecar-for"?'),
        ("--sidecar_for=web", 'did you mean "-sidecar-for"?'),
        ("---proxy-id", 'did you mean "-proxy-id"?'),
        ("-zzzz", "see --help"),
        ("-=x", "see --help"),
    ],
)
def test_an_unknown_flag_is_an_error_that_names_the_nearest(word: str, advice: str) -> None:
    with pytest.raises(UsageError) as refused:
        normalised([word], ROWS)
    assert str(refused.value) == f'unknown flag "{word.partition("=")[0]}"; {advice}'


def test_the_value_of_an_unknown_flag_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        normalised(["-tokne=secret"], ROWS)
    assert "secret" not in str(refused.value)


def test_a_setting_that_is_no_flag_names_its_variable() -> None:
    with pytest.raises(UsageError, match="set it by the variable CONSUL_HTTP_AUTH") as refused:
        normalised(["-http-auth=me:secret"], ROWS)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_the_help_flags(word: str) -> None:
    assert normalised(["-bootstrap", word], ROWS).wants_help
    assert asks_for_help([word])
    assert not asks_for_help(["--", word])


def test_a_repeated_flag_is_kept_in_order() -> None:
    found = normalised(["-proxy-id=a", "-upstream=x", "-proxy-id=b", "-upstream=y"], ROWS)
    assert found.words == ("--proxy-id=a", "--upstream=x", "--proxy-id=b", "--upstream=y")


def test_peeking_finds_a_flag_among_unknown_ones() -> None:
    words = ["-nosuch", "value", "-other=1", "-third", "-proxy-id", "web", "--", "-sidecar-for=x"]
    assert peeked(words, ROWS) == {"proxy-id": "web"}


NAMES = st.sampled_from([row for row in ROWS if row.flag])
VALUES = st.text(max_size=8)


@given(
    st.lists(st.tuples(NAMES, VALUES, st.booleans(), st.sampled_from(["-", "--"])), max_size=6),
    st.lists(st.text(max_size=6), max_size=4),
)
def test_whatever_the_spelling_the_same_flags_come_out(
    said: list[tuple[Setting, str, bool, str]], passthrough: list[str]
) -> None:
    words: list[str] = []
    expected: list[tuple[str, str]] = []
    for row, text, in_one_word, dashes in said:
        if row.type is Type.BOOLEAN:
            words.append(f"{dashes}{row.name}" if in_one_word else f"{dashes}{row.name}=f")
            expected.append((row.name, "true" if in_one_word else "false"))
        else:
            separate = not in_one_word and not text.startswith("-")
            words += [f"{dashes}{row.name}", text] if separate else [f"{dashes}{row.name}={text}"]
            expected.append((row.name, text))
    found = normalised([*words, "--", *passthrough], ROWS)
    assert found.flags == tuple(expected)
    assert found.passthrough == tuple(passthrough)
    assert normalised([*found.words, "--", *passthrough], ROWS) == found
    seen = peeked([*words, "--", *passthrough], ROWS)
    assert {**dict(expected), "bootstrap": ""} == {**seen, "bootstrap": ""}


@given(st.lists(st.text(alphabet="-=abproxyid ", max_size=8), max_size=6))
def test_no_words_make_the_normaliser_fail_otherwise(words: list[str]) -> None:
    peeked(words, ROWS)
    try:
        found = normalised(words, ROWS)
    except UsageError:
        return
    assert not (found.positional and found.passthrough)
