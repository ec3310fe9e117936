"""The name that somebody who mistyped probably meant. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest of *known* to *word*, empty if none is near."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), "")
