"""Columns of text."""

from connect_proxy.cli.table import table


def test_each_column_is_as_wide_as_its_widest_cell() -> None:
    assert table(("NAME", "STATE"), [("envoy", "ok"), ("x", "")]) == "NAME   STATE\nenvoy  ok\nx"


def test_without_rows_the_head_stands_alone() -> None:
    assert table(("NAME", "STATE"), []) == "NAME  STATE"


def test_a_cell_of_several_lines_stays_in_its_row() -> None:
    assert table(("REASON",), [("one\ntwo",)]).splitlines() == ["REASON", "one two"]
