from __future__ import annotations

from connect_proxy.consul.client import Authorization
from connect_proxy_builtin.authorization import KEEP, DecisionBook

YES = Authorization(authorized=True, reason="yes")
NO = Authorization(authorized=False, reason="no")


def answer(book: DecisionBook, source: str, decision: Authorization) -> bool:
    asked_in = book.round
    assert book.begin_asking(source, "01")
    in_force = book.answered(source, asked_in=asked_in, decision=decision)
    book.end_asking(source)
    return in_force


def test_nothing_is_known_of_a_new_source() -> None:
    book = DecisionBook()
    assert book.in_force("a") is None
    assert book.last_known("a") is None


def test_an_answer_is_in_force_until_the_intentions_change() -> None:
    book = DecisionBook()
    assert answer(book, "a", YES)
    assert book.in_force("a") == YES
    book.begin_round()
    assert book.in_force("a") is None
    assert book.last_known("a") == YES


def test_a_source_is_asked_about_once_at_a_time() -> None:
    book = DecisionBook()
    assert book.begin_asking("a", "01")
    assert not book.begin_asking("a", "01")
    assert book.begin_asking("b", "01")
    book.end_asking("a")
    assert book.begin_asking("a", "01")


def test_an_answer_to_a_question_from_before_the_change_has_to_be_asked_for_again() -> None:
    book = DecisionBook()
    assert book.begin_asking("a", "01")
    asked_in = book.round
    book.begin_round()
    assert not book.answered("a", asked_in=asked_in, decision=YES)
    assert book.in_force("a") is None


def test_the_memory_is_bounded_and_never_drops_a_question() -> None:
    book = DecisionBook()
    assert book.begin_asking("asked", "01")
    for number in range(KEEP + 10):
        answer(book, str(number), NO)
    assert book.last_known("0") is None
    assert book.last_known(str(KEEP + 9)) == NO
    assert not book.begin_asking("asked", "01")
