import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.decoding import (
    DecodeError,
    Struct,
    boolean,
    decode_body,
    duration,
    integer,
    list_of,
    map_of,
    opaque,
    snake_case,
    text,
)

STRUCT = Struct(
    {
        "Name": text,
        "Port": integer,
        "Native": boolean,
        "Tags": list_of(text),
        "Meta": map_of(text),
        "Config": opaque,
        "TTL": duration,
        "TLSSkipVerify": boolean,
        "DestinationServiceID": text,
        "Inner": Struct({"Port": integer}),
        "MeshGateway": opaque,
    },
    snake=True,
    camel_only=("MeshGateway",),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def decoded(body: str) -> dict[str, Any]:
    return decode_body(body.encode(), STRUCT)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", {}),
        ('{"Name":"\\ud800"}', {"Name": "\ufffd"}),
        ("null", {}),
        ('{"Name":"a"}', {"Name": "a"}),
        ('{"name":"a","pORT":5}', {"Name": "a", "Port": 5}),
        ('{"destination_service_id":"x"}', {"DestinationServiceID": "x"}),
        ('{"tls_skip_verify":true}', {"TLSSkipVerify": True}),
        ('{"Name":null,"Tags":null}', {}),
        ('{"Tags":["a",null,"b"]}', {"Tags": ["a", "b"]}),
        ('{"Meta":{"a":"b","c":null}}', {"Meta": {"a": "b"}}),
        ('{"Config":{"any":[1,{"thing":null}]}}', {"Config": {"any": [1, {"thing": None}]}}),
        ('{"TTL":"10s"}', {"TTL": 10_000_000_000}),
        ('{"TTL":5}', {"TTL": 5}),
        ('{"TTL":""}', {"TTL": 0}),
        ('{"Inner":{"Port":1}}', {"Inner": {"Port": 1}}),
        ('{"Name":"a"} trailing words', {"Name": "a"}),
    ],
)
def test_a_body_is_read_as_go_reads_it(body: str, expected: dict[str, Any]) -> None:
    assert decoded(body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "EOF"),
        ("  ", "EOF"),
        ("{", "unexpected EOF"),
        ('{"Name":"a', "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ('{"Bogus":1}', 'json: unknown field "Bogus"'),
        ('{"mesh_gateway":{}}', 'json: unknown field "mesh_gateway"'),
        ('{"Inner":{"Bogus":1}}', 'json: unknown field "Bogus"'),
        ('{"Port":"80"}', "json: cannot unmarshal string into Go struct field .Port of type int"),
        ('{"Port":1.5}', "json: cannot unmarshal number 1.5 into Go struct field .Port of type int"),
        ('{"Port":true}', "json: cannot unmarshal bool into Go struct field .Port of type int"),
        ('{"Name":5}', "json: cannot unmarshal number into Go struct field .Name of type string"),
        ('{"Native":"yes"}', "json: cannot unmarshal string into Go struct field .Native of type bool"),
        ('{"TTL":"x"}', 'time: invalid duration "x"'),
        ('{"TTL":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"Port":1e3}', "json: cannot unmarshal number 1000.0 into Go struct field .Port of type int"),
        (
            '{"TTL":1e999}',
            "json: cannot unmarshal number inf into Go struct field .TTL of type time.Duration",
        ),
        (
            f'{{"Port":{2**63}}}',
            f"json: cannot unmarshal number {2**63} into Go struct field .Port of type int",
        ),
        (f'{{"Port":{"9" * 5000}}}', "json: cannot unmarshal number into Go value of type int"),
        ("[]", "json: cannot unmarshal array into Go value of type struct"),
    ],
)
def test_a_wrong_body_is_refused_in_gos_words(body: str, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decoded(body)
    assert str(caught.value) == message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_refused(body: bytes) -> None:
    try:
        decode_body(body, STRUCT)
    except DecodeError as exc:
        assert str(exc)  # noqa: PT017 - whichever of the two happens is fine


@given(json_values)
def test_any_json_is_a_body_or_refused(value: Any) -> None:
    try:
        assert isinstance(decode_body(json.dumps(value).encode(), STRUCT), dict)
    except DecodeError as exc:
        assert str(exc).startswith(("json: ", "time: "))  # noqa: PT017 - as above


def test_a_body_nested_too_deep_is_refused() -> None:
    with pytest.raises(DecodeError, match="exceeded max depth"):
        decoded('{"Config":' + "[" * 100_000)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Name", "name"),
        ("DestinationServiceID", "destination_service_id"),
        ("TLSSkipVerify", "tls_skip_verify"),
        ("GRPCUseTLS", "grpc_use_tls"),
        ("TTL", "ttl"),
        ("LocalBindPort", "local_bind_port"),
    ],
)
def test_snake_case_keeps_abbreviations_together(name: str, snake: str) -> None:
    assert snake_case(name) == snake
