from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_proxy.errors import MalformedDocumentError
from connect_proxy.managed.definitions.document import Table
from connect_proxy.managed.definitions.hcl import parse_hcl, parse_json
from connect_proxy.managed.definitions.hcl_scanner import MAX_DEPTH


def hcl(text: str) -> dict[str, Any]:
    return parse_hcl(text).plain()


def complaint(text: str) -> str:
    with pytest.raises(MalformedDocumentError) as caught:
        parse_hcl(text)
    return f"{caught.value.line}:{caught.value.column}: {caught.value}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-5", -5),
        ("0x1F90", 8080),
        ("-0x10", -16),
        ("010", 8),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5e3", 1500.0),
        ("1e-2", 0.01),
        ("08.5", 8.5),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("false", False),
        ('""', ""),
        (r'"\u00e9\n\t\\\""', 'é\n\t\\"'),
        (r'"\x41\101\U0001F600"', "AA\U0001f600"),
        (r'"\xc3\xa9"', "é"),
        (r'"\xff\ud800"', "\ufffd\ufffd"),
        ('"x-${foo}"', "x-${foo}"),
        ('"${"a" {} }\\n"', '${"a" {} }\n'),
        (r'"${\n}"', r"${\n}"),
        ('"${a\nb}"', "${a\nb}"),
        ('"$5 $"', "$5 $"),
        ('"it\'s"', "it's"),
        ("[]", []),
        ("[,]", []),
        ('["a",,"b",]', ["a", "b"]),
        ("[[1], {a = 2}]", [[1], {"a": 2}]),
        ("{}", {}),
    ],
)
def test_a_value_is_read_as_consul_reads_it(text: str, value: Any) -> None:
    found = hcl(f"a = {text}")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<<EOF\nx {\n ${y} \\n\nEOF\n", "x {\n ${y} \\n\n"),
        ("<<EOF\nEOF\n", ""),
        ("<<EOF\nx\n  EOF\n", "x\n  "),
        ("<<EOF\nxEOF\nEOFx\nEOF\n", "xEOF\nEOFx\n"),
        ("<<-EOF\n    a\n      b\n    EOF\n", "a\n  b\n"),
        ("<<-EOF\n    a\n      b\n  EOF\n", "  a\n    b\n"),
        ("<<-EOF\n\ta\n\n\tb\n\tEOF\n", "\ta\n\n\tb\n"),
        ("<<-EOF\n  x\n     EOF\n", "  x\n"),
        ("<<EOF\r\nx\r\nEOF\r\n", "x\n"),
    ],
)
def test_a_heredoc_is_what_consul_makes_of_it(text: str, value: str) -> None:
    assert hcl(f"a = {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("# x\n// y\n/* z\n */", {}),
        ("a /* x */ = /* y */ 1 # z", {"a": 1}),
        ('"a b" = 1', {"a b": 1}),
        ("a.b-c_1 = 1", {"a.b-c_1": 1}),
        ("é = 1", {"é": 1}),
        ("a = 1, b = 2,", {"a": 1, "b": 2}),
        ("a { b = 1, c = 2 }", {"a": {"b": 1, "c": 2}}),
        ("a { b {} c = true }", {"a": {"b": {}, "c": True}}),
        ('a "b" "c" { d = 1 }', {"a": {"b": {"c": {"d": 1}}}}),
        ("a = 1 a = 2", {"a": 2}),
        ("a {} a { b = 1 }", {"a": [{}, {"b": 1}]}),
        ("a {b = 1}\na = [{b = 2}, {b = 3}]", {"a": [{"b": 1}, {"b": 2}, {"b": 3}]}),
        ("a = [1] a = [2]", {"a": [1, 2]}),
        ('{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
    ],
)
def test_a_file_is_read_as_consul_reads_it(text: str, value: Any) -> None:
    assert hcl(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", '1:2: expected "=" or "{" or a key, found the end of the file'),
        ("a =", "1:4: expected a value, found the end of the file"),
        ("a = }", '1:5: expected a value, found "}"'),
        ("a = b", '1:5: expected a value, found "b"'),
        ("a b = 1", '1:5: expected "{" or a key, found "="'),
        ("a {\n  b = [1 2]\n}", '2:10: expected "," or "]", found "2"'),
        ("a {", '1:4: expected "}" or a key, found the end of the file'),
        ("a = 1 }", '1:7: expected the end of the file, found "}"'),
        ("true = 1", '1:1: expected a key or the end of the file, found "true"'),
        (",a = 1", '1:1: expected a key or the end of the file, found ","'),
        ("a = 1;", "1:6: the character ';' cannot stand here"),
        ("a = +1", "1:5: the character '+' cannot stand here"),
        ('a = "x\ny"', '1:5: this string does not end; close it with " (in the same line)'),
        ('a = "${{}"', '1:5: this string does not end; close it with " (in the same line)'),
        (r'a = "\q"', r"1:6: '\\q' is no escape; write a backslash as \\"),
        (r'a = "\777"', r'1:5: "\777" is no escape: octal ones go up to \377'),
        (r'a = "\U00110000"', r'1:5: "\U00110000" is no escape: Unicode goes up to \U0010FFFF'),
        ("a = 08", '1:5: "08" is no number: after a leading 0 the digits are octal'),
        ("a = 1e", '1:5: "1e" is no number: the exponent has no digits'),
        ("a = 9223372036854775808", '1:5: "9223372036854775808" is too large: numbers have 64 bits'),
        ("a = 1e999", '1:5: "1e999" is too large for a number'),
        ("/* x", "1:1: this comment does not end; close it with */"),
        ("/ x", '1:1: a single "/"; a comment begins with //, /* or #'),
        ("a = \0", "1:5: a null character; this is no text file"),
        (
            "a = <<EOF x\nEOF\n",
            '1:5: a heredoc begins with << or <<-, a word, and the end of the line, as in "<<EOF"',
        ),
        ("a = <<EOF\nx\n", '1:5: this heredoc does not end; a line with nothing but "EOF" ends it'),
        (
            "a = <<-EOF\nx\nEOF\n",
            '1:5: this heredoc does not end; a line with nothing but "EOF"'
            " (indented by at least one blank) ends it",
        ),
        (
            "a = 1\nb {}\na {}",
            '3:1: "a" stands more than once with values of two kinds:'
            " a block here, a number in line 1; keep one",
        ),
        (
            'a {}\na "x" {}',
            '2:1: "a" stands more than once with values of two kinds:'
            " a block with a label here, a block in line 1; keep one",
        ),
        ("a = 0\na = [08]", '2:6: "08" is no number: after a leading 0 the digits are octal'),
    ],
)
def test_an_error_names_the_place_and_what_was_expected(text: str, said: str) -> None:
    assert complaint(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n "a": 1,\n}', '3:1: expected a string, found "}"'),
        ('{"a": 1} 2', '1:10: expected the end of the file, found "2"'),
        ("[]", '1:1: expected "{" or null, found "["'),
        ('{"a": 01}', '1:8: expected "," or "}", found "1"'),
        ("// x\n{}", "1:1: JSON has no comments; a file named .hcl may have them"),
        ('{"a": nil}', '1:7: "nil" is no JSON; strings stand in double quotes'),
        (
            '{"a": "\\q"}',
            "1:7: this string does not end, or holds an escape or a control character that JSON has not",
        ),
    ],
)
def test_an_error_in_json_names_its_place_too(text: str, said: str) -> None:
    with pytest.raises(MalformedDocumentError) as caught:
        parse_json(text)
    assert f"{caught.value.line}:{caught.value.column}: {caught.value}" == said


def test_the_last_of_equal_keys_wins_in_json() -> None:
    assert parse_json('{"a": {"b": 1}, "a": {"c": 2}}').plain() == {"a": {"c": 2}}


@pytest.mark.parametrize("text", ["", " \n", "null"])
def test_a_json_file_may_say_nothing(text: str) -> None:
    assert parse_json(text).plain() == {}


def test_every_key_knows_its_place() -> None:
    table = parse_hcl('a {\n  b = 1\n  "c" = [\n    { d = 1 },\n  ]\n}\n')
    inner = table.fields["a"].value
    assert isinstance(inner, Table)
    assert [(key, field.place.line, field.place.column) for key, field in inner.fields.items()] == [
        ("b", 2, 3),
        ("c", 3, 3),
    ]
    items = inner.fields["c"].value
    assert isinstance(items, list)
    assert isinstance(items[0], Table)
    assert (items[0].place.line, items[0].place.column) == (4, 5)


def test_a_label_is_told_from_a_key() -> None:
    labelled, written = (parse_hcl(text).fields["a"].value for text in ('a "b" {}', "a { b {} }"))
    assert isinstance(labelled, Table)
    assert isinstance(written, Table)
    assert (labelled.label, written.label) == (True, False)


@pytest.mark.parametrize("opening", ["a = " + "[" * 100_000, "a {" * 100_000, '{"a":' * 100_000])
def test_endless_nesting_is_an_error_like_any_other(opening: str) -> None:
    assert f"more than {MAX_DEPTH}" in complaint(opening)


# ---------------------------------------------------------------- any value, in any style

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).filter(
        lambda text: "${" not in text
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)
BLANKS = st.sampled_from([" ", "\n", "\t", " /* x */ ", " # {\n", '// "\n', "\r\n"])


class Style:
    """Writes values as HCL, each time in another of the ways that HCL has."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def blank(self) -> str:
        return self._draw(BLANKS)

    def items(self, table: dict[str, Any]) -> str:
        return "".join(self.item(key, value) for key, value in table.items())

    def item(self, key: str, value: Any) -> str:
        separator = self._draw(st.sampled_from([",", "\n", " ,\n"]))
        name = self.key(key)
        if isinstance(value, dict) and self._draw(st.booleans()):
            return f"{self.blank()}{name}{self.blank()}{self.value(value)}{separator}"
        return f"{self.blank()}{name}{self.blank()}={self.blank()}{self.value(value)}{separator}"

    def key(self, key: str) -> str:
        plain = key[0] in string.ascii_letters and all(char in string.ascii_letters + "_-." for char in key)
        if plain and key not in {"true", "false"} and self._draw(st.booleans()):
            return key
        return self.string(key)

    def value(self, value: Any) -> str:
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return self._draw(st.sampled_from([str(value), hex(value)]))
            case float():
                return repr(value)
            case str():
                return self.text(value)
            case list():
                commas = st.sampled_from([",", ",,", " ,\n"])
                inside = self._draw(commas).join(f"{self.value(item)}{self.blank()}" for item in value)
                return f"[{self.blank()}{inside}{self._draw(st.sampled_from(['', ','])) if value else ''}]"
            case _:
                return f"{{{self.items(value)}{self.blank()}}}"

    def text(self, text: str) -> str:
        # A heredoc holds whole lines, and its end mark may not be one of them.
        if text.endswith("\n") and "EOT" not in text and "\r" not in text and self._draw(st.booleans()):
            return f"<<EOT\n{text}EOT\n"
        return self.string(text)

    def string(self, text: str) -> str:
        return '"' + "".join(map(self.character, text)) + '"'

    def character(self, char: str) -> str:
        if char in '"\\':
            return "\\" + char
        forms = [f"\\U{ord(char):08x}"]
        if char not in "\n\r$":
            forms.append(char)
        if ord(char) < 0x80:
            forms += [f"\\x{ord(char):02x}", f"\\{ord(char):03o}"]
        return self._draw(st.sampled_from(forms))


@settings(max_examples=60)
@given(data=st.data(), table=TABLES)
def test_what_is_written_in_any_style_is_read_back(data: st.DataObject, table: dict[str, Any]) -> None:
    assert hcl(Style(data).items(table)) == table


@given(table=TABLES)
def test_json_is_read_back(table: dict[str, Any]) -> None:
    assert parse_json(json.dumps(table)).plain() == table
    assert hcl(json.dumps(table, ensure_ascii=False, indent=1)) == table


@given(text=st.text() | st.text(st.sampled_from('{}[]=,:"$\\<>-EOF\n/*#.0x9eatru \0')))
def test_no_text_ends_in_anything_but_a_value_or_the_error_of_a_malformed_document(text: str) -> None:
    for parse in (parse_hcl, parse_json):
        with contextlib.suppress(MalformedDocumentError):
            parse(text).plain()
