"""Our reading of HCL beside the real Consul's: the same texts are taken, with the same values."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError, MalformedDocumentError
from connect_proxy.managed.definitions import consul_keys, decoding
from connect_proxy.managed.definitions.decoding import read_table
from connect_proxy.managed.definitions.hcl import parse_hcl, parse_json
from support.real_parts import consul_binary

pytestmark = pytest.mark.integration

OF_MEANING = re.compile(r"error\(s\) decoding|invalid config key")
"""What Consul says of a text that it could read. All else after "failed to parse" is about syntax."""


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """``consul validate`` on one file."""

    folder: Path

    def said(self, text: str, *, suffix: str = ".hcl") -> str:
        (self.folder / "base.hcl").write_text('data_dir = "/nonexistent"\n')
        one = self.folder / f"one{suffix}"
        one.write_text(text, encoding="utf-8", newline="")
        done = subprocess.run(
            [consul_binary(), "validate", one, self.folder / "base.hcl"],
            capture_output=True,
            timeout=120,
        )
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def takes(self, text: str, *, suffix: str = ".hcl") -> bool:
        """Whether the syntax is right for it."""
        said = self.said(text, suffix=suffix)
        if "panic:" in said:  # values that Go cannot unquote
            return False
        return "failed to parse" not in said or bool(OF_MEANING.search(said))

    def value(self, literal: str) -> str:
        """The string behind *literal*, out of a complaint that quotes it."""
        said = self.said(f"dns_config {{ node_ttl = {literal}\n}}")
        found = re.search(r'time: invalid duration "(.*)"\n', said, re.DOTALL)
        assert found, said
        return found[1]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(folder=tmp_path_factory.mktemp("oracle"))


def we_take(text: str, *, suffix: str = ".hcl") -> bool:
    try:
        parse_json(text) if suffix == ".json" else parse_hcl(text)
    except MalformedDocumentError:
        return False
    return True


TEXTS = [
    "ports { grpc = 8502, https = -1 }",
    '"acl" = { "enabled" = true }',
    'service { name = "a" check { tcp="x:1" interval="5s" } }',
    'node_name = "x-${foo}"',
    "node_name = <<EOL\n{ ${x}\nEOL\n",
    "ports { dns = 0x1F90 http = 010 }",
    r'node_name = "\u00e9\n\t\\"',
    'services { name = "a" } services { name = "b" }',
    'service { name = "a" } service { name = "b" }',
    'service "web" {}',
    "{ }",
    "{ a = 1 }",
    'service { proxy { upstreams { destination_name = "x" } upstreams { destination_name = "y" } } }',
    'service { Name = "a" Port = 1 }',
    "nonsense = 1",
    'node_name = "a" node_name = "b"',
    'service { name = "a" connect { sidecar_service {} } }',
    "port",
    "service { name }",
    "service { name",
    "service {",
    "service { name =",
    "= 1",
    "[]",
    "a = }",
    "a = b",
    "a b = 1",
    'a "b" = {}',
    'a "b" "c" {}',
    "true = 1",
    "_a = 1",
    "a-b.c = 1",
    "9a = 1",
    "é = 1",
    ",a = 1",
    "a = 1,",
    "a = 1,, b = 2",
    "a = 1, b = 2",
    "a = 1 }",
    "a = 1;",
    "a = [1 2]",
    "a = [,]",
    "a = [1,,2,]",
    "a = [1",
    "a = [[1], {b = 1}]",
    "a = [b]",
    "a = [[1] [2]]",
    "a = [[1] 2, [3] {}]",
    "a = [[1] 2 3]",
    "a = [1 [2]]",
    "a = [{} {}]",
    "a = (1)",
    "a = 1 + 1",
    "a : 1",
    "# x",
    "// x",
    "/* x */",
    "/* x",
    "/* a /* b */",
    "/ x",
    "a = 1 # x",
    "a # x\n= 1",
    "\0",
    'a = "\0"',
    "\ufeffa = 1",
    "a = 1\r\nb = 2\r\n",
    "a = -5",
    "a = - 5",
    "a = +5",
    "a = --5",
    "a = .5",
    "a = 5.",
    "a = -.5",
    "a = 5.5.5",
    "a = 1e5",
    "a = 1E+5",
    "a = 1.5e-5",
    "a = 1e",
    "a = 1.e5",
    "a = 08",
    "a = 018",
    "a = 08.5",
    "a = 0e1",
    "a = 0x",
    "a = 0xg",
    "a = 0x\nb {}",
    "a = 0X # x\nb {\n}\n",
    "a = [0x 1]",
    "a = 0b1",
    "a = 0o7",
    "a = 1_000",
    "a = 9223372036854775807",
    "a = -9223372036854775808",
    "a = 9223372036854775808",
    "a = 1e999",
    r'a = "\q"',
    r'a = "\""',
    r'a = "\'"',
    r'a = "\x4"',
    r'a = "\777"',
    r'a = "\08"',
    r'a = "\u00"',
    'a = "x',
    'a = "x\ny"',
    'a = "${x',
    'a = "${"x"}"',
    'a = "${{}"',
    'a = "${\\q}"',
    "a = <<EOF\nx\nEOF",
    "a = <<EOF\nx\nEOF\n",
    "a = <<-EOF\nx\nEOF\n",
    "a = <<-EOF\nx\n EOF\n",
    "a = <<EOF x\nEOF\n",
    "a = << EOF\nEOF\n",
    "a = <<\n\n",
    "a = <EOF\nEOF\n",
    "a = <<E-F\nE-F\n",
    "a {} a { b = 1 }",
    "a { } a = [{}]",
    "a = 1 a {}",
    "a {} a = 1",
    "a = [1] a = 2",
    "a = [1] a = [2]",
]
JSON_TEXTS = [
    "",
    "{}",
    "null",
    "[]",
    "1",
    '{"a": 1, "a": 2}',
    '{"a": 1} 2',
    '{"a": 1,}',
    '{"a" 1}',
    "{a: 1}",
    "// x\n{}",
    '{"a": 01}',
    '{"a": -1.5e3}',
    '{"a": .5}',
    '{"a": NaN}',
    '{"a": "\\q"}',
    '{"a": "\\u00e9\\ud800"}',
    '{"a": "x\ty"}',
    '{"a": [1, "x", null, true, {}]}',
    '{"a": [1,]}',
    '{"a": 99999999999999999999}',
    '{"a": 1',
    '{"a": "x',
]
STRICTER = {
    "a =": "a key without a value at the end of the file: Consul leaves the key out, silently",
    '{"a": 1,}': "JSON in a .hcl file, with a comma at the end",
    '{"a": 1} x': "JSON in a .hcl file, with something after it",
}
"""What Consul takes and we refuse, each with its reason: these are slips of somebody's hand."""


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_taken_by_both_or_by_none(oracle: Oracle, text: str) -> None:
    assert we_take(text) == oracle.takes(text), oracle.said(text)


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_a_json_text_is_taken_by_both_or_by_none(oracle: Oracle, text: str) -> None:
    assert we_take(text, suffix=".json") == oracle.takes(text, suffix=".json"), oracle.said(
        text, suffix=".json"
    )


@pytest.mark.parametrize("text", STRICTER)
def test_where_we_are_stricter_consul_is_still_not(oracle: Oracle, text: str) -> None:
    assert oracle.takes(text)
    assert not we_take(text)


@pytest.mark.parametrize(
    "literal",
    [
        r'"a\x41b\101\u00e9\U0001F600"',
        r'"\a\b\f\v\t\r\\\""',
        r'"\ud800"',
        r'"\xc3\xa9"',
        '"x-${foo}-$${bar}"',
        '"${"a" {} }\\n"',
        '"${a\nb}"',
        r'"${\n}"',
        '"$"',
        '"it\'s"',
        '<<EOF\n\\n${x}"\nEOF\n',
        "<<EOF\nEOF\n",
        "<<EOF\nx\n  EOF\n",
        "<<EOF\nxEOF\nEOFx\nEOF\n",
        "<<EOF\r\nx\r\nEOF\r\n",
        "<<-EOF\n    EOF\n",
        "<<-EOF\n    a\n      b\n    EOF\n",
        "<<-EOF\n    a\n      b\n  EOF\n",
        "<<-EOF\n  x\n     EOF\n",
        "<<-EOF\n\ta\n\n\tb\n\tEOF\n",
        "<<-EOF\n\t a\n\tb\n \tEOF\n",
        "<<-E_1\n x\n E_1\n",
    ],
)
def test_a_string_has_the_value_that_consul_gives_it(oracle: Oracle, literal: str) -> None:
    assert parse_hcl(f"a = {literal}").plain()["a"] == oracle.value(literal)


MEANINGS = [
    'service { name = "a" port = 1 }',
    'service = { name = "a" }',
    'service = [{ name = "a" }]',
    'services = [{ name = "a" }, { name = "b" }]',
    'services { name = "a" } services = [{ name = "b" }]',
    'service { name = "a" } services { name = "b" }',
    'service { name = "a" } service { name = "b" }',
    'service "web" { name = "a" }',
    'service "web" "x" {}',
    'service = "x"',
    'services = "x"',
    'service { name = 1 name = "a" }',
    'service { name = "a" name = 1 }',
    'service { name = "a" port = 1 port = "0x10" }',
    'service { name = "a" tags = ["x"] tags {} }',
    'service { name = "a" meta { a = "x" } meta = ["y"] }',
    'service { name = "a" connect { sidecar_service {} } connect "x" {} }',
    'service { Name = "a" PORT = 1 }',
    'service { name = "a" nonsense = 1 }',
    'service { name = "a" } service = []',
    'service { name = "a" } service "x" { name = "b" }',
    'service { name = "a" port = 1 port = "x" }',
    'service { name = "a" port = 0x1F90 }',
    'service { name = "a" port = 1e3 }',
    "service { name = <<EOF\na\nEOF\n}",
    'service { name = "a" tags = [<<EOF\nx\nEOF\n, "y"] }',
    'service { name = "a" tags = [["x"] ["y"]] }',
    'service { name = "a" tags = "y" tags = ["x"] }',
    'service { name = "a" enable_tag_override = TRUE }',
    'service { name = "a" check = [] }',
    'service { name = "a" checks = [] }',
    'service { name = "a" port = 8080.0 }',
    'service { name = ["a"] }',
    'service { name = ["a", "b"] }',
    'service { name = "a" tags = "x" }',
    'service { name = "a" tags = ["x"] tags = ["y"] }',
    'service { name = "a" tags = [1] }',
    'service { name = "a" meta { a = "x" } }',
    'service { name = "a" meta { a = 1 } }',
    'service { name = "a" meta { a = "x" } meta { b = "y" } }',
    'service { name = "a" connect {} connect {} }',
    'service { name = "a" connect = [] }',
    'service { name = "a" check { ttl = "5s" } check { ttl = "5s" } }',
    'service { name = "a" checks { ttl = "5s" } checks { ttl = "5s" } }',
    'service { name = "a" checks = { ttl = "5s" } }',
    'service { name = "a" check { ttl = 5 } }',
    'service { name = "a" check { ttl = "soon" } }',
    'service { name = "a" check { http = "x" interval = "5s" header { a = ["b"] } } }',
    'service { name = "a" check { http = "x" interval = "5s" header { a = "b" } } }',
    'service { name = "a" check { DeregisterCriticalServiceAfter = "5s" ttl = "5s" } }',
    'service { name = "a" check { nonsense = 1 } }',
    'service { name = "a" enable_tag_override = true weights { passing = 1 warning = 2 } }',
    'service { name = "a" enable_tag_override = 1 }',
    'service { name = "a" tagged_addresses { lan { address = "1.1.1.1" port = 1 } } }',
    'service { name = "a" token = "x" connect { native = true } }',
    'service { name = "a" port = 1 connect { sidecar_service {} } }',
    'service { name = "a" port = 1 connect { sidecar_service { id = "x" } } }',
    'service { name = "a" port = 1 connect { sidecar_service { connect { sidecar_service {} } } } }',
    'service { name = "a" port = 1 connect { sidecar_service { proxy { upstreams { destination_name = "b"'
    ' local_bind_port = 1 } upstreams { destination_name = "c" local_bind_port = 2 } } } } }',
    'service { name = "p" kind = "connect-proxy" port = 1 proxy { destination_service_name = "a"'
    ' destination_service_id = "a" local_service_address = "127.0.0.1" local_service_port = 2'
    ' config { a { b = 1 } } mesh_gateway { mode = "local" } expose { checks = true'
    ' paths = [{ path = "/x" local_path_port = 1 listener_port = 2 protocol = "http" }] } } }',
    'service { name = "p" kind = "connect-proxy" proxy { destination_service_name = "a" } }',
    'service { name = "p" kind = "connect-proxy" port = 1 }',
    'check { name = "c" ttl = "5s" }',
    'checks { name = "c" ttl = "5s" } checks { name = "d" ttl = "5s" }',
    'check { name = "c" ttl = "5s" } check { name = "d" ttl = "5s" }',
    "ports { proxy_min_port = 20000 proxy_max_port = 20255 }",
    "ports { sidecar_min_port = 21000 sidecar_max_port = 21255 }",
    "ports { nonsense = 1 }",
    "ports {} ports {}",
    'acl { tokens { agent = "x" default = "y" } }',
    "acl { tokens { nonsense = 1 } }",
    'acl_token = "x"',
    "connect { enabled = true }",
    "connect { nonsense = 1 }",
    "nonsense = 1",
    'data_dir = ["/x"]',
    'log_level = "DEBUG"',
]
OTHERWISE = {
    'service { name = "a" port = "8080" }': "numbers in quotes are taken: other tools write them so",
    'service { name = "a" enable_tag_override = "true" }': "and so are booleans",
    'service { name = "a" EnableTagOverride = true }': "the API's spelling is taken everywhere",
    'service { name = "a" port = 8080.5 }': "half a port is a slip of the hand",
    '{ "service": { "name": 1, "name": "a" } }': "of equal keys in JSON the last counts",
    "node_name = 1": "keys that mean nothing here are not looked into",
    'service { name = "a" meta { "a b" = "x" } }': "what meta may be Consul says when it is registered",
    "service { port = 1 }": "Consul refuses a service without a name only when it is registered",
    'check { ttl = "5s" }': "and a check without one",
    'service { name = "a" connect { proxy {} } }': "Consul 1.6 took managed proxies away",
    "connect { proxy { allow_managed_root = true } }": "with their permissions",
    'connect { proxy_defaults { command = ["/x"] } }': "and their defaults",
    'service { name = "a" port = 1 connect { sidecar_service { backend = "envoy" } } }': "ours",
    'service { name = "p" kind = "connect-proxy" port = 1 proxy_destination = "a" }': "as in Consul 1.2",
}
"""Where one takes what the other refuses, with the reason: the page on the configuration has this table."""


def we_accept(text: str) -> bool:
    try:
        read_table(parse_hcl(text), "x.hcl")
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("text", MEANINGS)
def test_a_definition_is_accepted_by_both_or_by_none(oracle: Oracle, text: str) -> None:
    said = oracle.said(text)
    assert we_accept(text) == ("Configuration is valid!" in said), said


@pytest.mark.parametrize("text", OTHERWISE)
def test_where_we_differ_consul_still_does(oracle: Oracle, text: str) -> None:
    assert we_accept(text) != ("Configuration is valid!" in oracle.said(text))


KNOWN_TO_CONSUL = sorted(set(decoding.KEYS["agent"]) | consul_keys.AGENT)


def test_every_key_that_this_consul_has_is_known_here(oracle: Oracle) -> None:
    """The names are those in the program itself: whatever it does not call invalid is one of its keys."""
    found = re.findall(rb'hcl:"([a-z0-9_]+)"', consul_binary().read_bytes())
    names = {name.decode() for name in found}
    assert len(names) > 300
    # The first complaint is of keys whose values are of another kind: keys all the same.
    told = oracle.said("".join(f"{name} {{}}\n" for name in sorted(names)))
    keys = set(re.findall(r"^\* '(\w+)", told, re.MULTILINE))
    told = oracle.said("".join(f"{name} {{}}\n" for name in sorted(names - keys)))
    strangers = set(re.findall(r"invalid config key (\w+)$", told, re.MULTILINE))
    assert keys
    assert strangers
    assert names - strangers - set(KNOWN_TO_CONSUL) == set()


# fmt: off
PIECES = st.sampled_from([
    "a", "b ", '"c"', '"${', '}"', '"', "=", " = ", "{", "}", "[", "]", ",", "1", "0", "8", ".5", "-", "e",
    "x", "true", "\n", " ", "#", "/*", "*/", "//", "\\n", "\\", "$", "<<E\n", "<<-E\n", "\nE\n", "\n E\n",
    'a = "x" ', "a {", "a = [", "1, ", "é", "\r\n",
])
# fmt: on


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=st.lists(PIECES, max_size=12))
def test_random_texts_are_taken_by_both_or_by_none(oracle: Oracle, pieces: list[str]) -> None:
    text = "".join(pieces)
    if text.lstrip().startswith("{") or unfinished(text):
        return  # the tables above say how we are stricter there
    assert we_take(text) == oracle.takes(text), oracle.said(text)


# fmt: off
SPACE = st.sampled_from([" ", "\n", "\t", " # it's } \n", " // \" {\n", " /* ] { */ ", "\r\n"])
KEY = st.sampled_from(["a", "b-1", "c.d", "_e", "é", '"f g"', '"h"', "service", "null"])
NUMBER = st.sampled_from(["0", "-1", "80", "0x1F", "0X", "010", "08", "1.5", "1e3", "2E-1", "1e"])
PIECE = st.sampled_from(
    ["x", " ", "\\n", '\\"', "\\\\", "\\u00e9", "\\x41", "\\q", "{", "}", "#", "$", "${y}", '${"z"}', "é"])
LINE = st.sampled_from(["", "x", "  y", "\tz", "E", " E x", "EE", "${a", '"', "\\n"])
# fmt: on
STRING = st.lists(PIECE, max_size=4).map(lambda pieces: '"' + "".join(pieces) + '"')
HEREDOC = st.builds(
    lambda dash, lines, indent: f"<<{dash}E\n" + "".join(f"{line}\n" for line in lines) + f"{indent}E\n",
    st.sampled_from(["", "-"]),
    st.lists(LINE, max_size=3),
    st.sampled_from(["", " ", "\t"]),
)
SCALAR = st.one_of(NUMBER, STRING, HEREDOC, st.sampled_from(["true", "false", '"true"', "TRUE"]))


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    comma = st.sampled_from([",", ", ", ",\n", ",,", " "])
    return st.lists(st.tuples(values, comma), max_size=3).map(
        lambda items: "[" + "".join(value + comma for value, comma in items) + "]"
    )


def document(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Assignments and blocks, labelled ones too, with all kinds of things between them."""
    assigned = st.builds("{}{}={}{}".format, KEY, st.sampled_from(["", " "]), SPACE, values)
    labels = st.lists(st.sampled_from([' "l"', " l"]), max_size=2).map("".join)
    block = st.builds("{}{} {{{}}}".format, KEY, labels, st.one_of(SPACE, values.map("\nk = {}\n".format)))
    item = st.tuples(st.one_of(assigned, block), st.sampled_from(["\n", ",\n", " "]), SPACE).map("".join)
    return st.lists(item, min_size=1, max_size=3).map("".join)


VALUE = st.recursive(
    SCALAR, lambda inner: st.one_of(listed(inner), document(inner).map("{{ {} }}".format)), max_leaves=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=document(VALUE))
def test_documents_are_taken_by_both_or_by_none(oracle: Oracle, text: str) -> None:
    said = oracle.said(text)
    if not unfinished(text):
        assert we_take(text) == oracle.takes(text), said


# fmt: off
REPEATED = st.sampled_from([
    "= 1", "= 010", "= 08", "= 0x1F", "= -5", "= 1.5", "= 2e3", "= 9223372036854775808", "= true", '= "x"',
    '= "7"', '= "0o17"', '= "1_0"', '= " 7"', '= "1.5"', '= "true"', '= ""', "= <<E\n7\nE\n", "= []",
    "= [1]", "= [{}]", "= [{}, 1]", "= [[]]", "= {}", "= {b = 1}", "{}", "{ a = 1 }", '"x" {}',
    '"x" "y" {}', '"y" { a = 1 }',
])
# fmt: on


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(REPEATED, min_size=2, max_size=3), inside=st.sampled_from(["", "b {", "b = [{"]))
def test_one_key_with_values_of_several_kinds_is_taken_by_both_or_by_none(
    oracle: Oracle, values: list[str], inside: str
) -> None:
    text = (
        inside + "".join(f"a {value}\n" for value in values) + {"b {": "}", "b = [{": "}]"}.get(inside, "")
    )
    assert we_take(text) == oracle.takes(text), oracle.said(text)


@pytest.mark.parametrize(
    "values",
    [
        ('"x"', "010"),
        ('"x"', "0x1F"),
        ('"x"', "08"),
        ('"x"', "9223372036854775808"),
        ('"x"', "1", '"y"'),
        ('"x"', "<<E\ny\nE\n"),
    ],
)
def test_what_follows_a_string_is_read_as_a_string(oracle: Oracle, values: tuple[str, ...]) -> None:
    ours = parse_hcl("".join(f"a = {value}\n" for value in values)).plain()["a"]
    said = oracle.said(f"dns_config {{ {' '.join(f'node_ttl = {value} ' for value in values)} }}")
    assert f'invalid duration: "{ours}"' in said.replace("\\n", "\n"), said


def unfinished(text: str) -> bool:
    """Whether the text ends behind ``key =``, as Consul sees it: comments are no value."""
    try:
        parse_hcl(text)
    except MalformedDocumentError as exc:
        return "expected a value, found the end of the file" in str(exc)
    return False
