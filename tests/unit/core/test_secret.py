"""A secret shows itself to nobody who does not ask."""

import copy
import json
import pickle

import pytest

from connect_proxy.secret import Secret


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{!r}".format, "{:>20}".format, lambda s: f"{[s]}"]
)
def test_no_way_of_printing_shows_the_text(show: object) -> None:
    assert callable(show)
    assert "s3cr3t" not in show(Secret("s3cr3t"))


def test_reveal_gives_the_text() -> None:
    assert Secret("s3cr3t").reveal() == "s3cr3t"


def test_an_empty_secret_is_no_secret() -> None:
    assert not Secret("")
    assert Secret("x")


def test_equal_texts_are_equal_secrets() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_a_secret_is_not_pickled_copied_or_dumped() -> None:
    for leave in (pickle.dumps, copy.copy, json.dumps):
        with pytest.raises(TypeError):
            leave(Secret("s3cr3t"))
