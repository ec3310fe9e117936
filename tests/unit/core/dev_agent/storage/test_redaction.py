"""What must not get to disk."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from connect_proxy.dev_agent.prepared_queries import PreparedQuery
from connect_proxy.dev_agent.records import CheckDefinition, CheckRecord
from connect_proxy.dev_agent.storage.kept import KeptCheck
from connect_proxy.dev_agent.storage.redaction import kept_ca_config, kept_check, kept_query

RECORD = CheckRecord(id="c", name="c", output="said")


def checked(definition: CheckDefinition) -> KeptCheck:
    return kept_check(KeptCheck(record=RECORD, definition=definition))


def test_a_querys_token_is_masked_and_the_rest_stays() -> None:
    query = PreparedQuery(
        id="i", definition={"Name": "n", "Token": "qu3ry"}, create_index=1, modify_index=2
    )
    assert kept_query(query) == replace(query, definition={"Name": "n", "Token": "<hidden>"})
    without = replace(query, definition={"Name": "n", "Token": ""})
    assert kept_query(without) is without


def test_headers_that_are_credentials_are_left_out() -> None:
    headers = {"authorization": ("Bearer x",), "X-Consul-Token": ("y",), "COOKIE": ("z",), "Host": ("web",)}
    definition = CheckDefinition(http="http://web/", header=MappingProxyType(headers))
    kept = checked(definition).definition
    assert kept is not None
    assert dict(kept.header) == {"Host": ("web",)}


@pytest.mark.parametrize(
    ("url", "kept_url"),
    [
        ("http://web:80/a?b=c", "http://web:80/a?b=c"),
        ("https://user:p@ss@[::1]:80/a?b=c@d", "https://[::1]:80/a?b=c@d"),
        ("http://web/a@b", "http://web/a@b"),
        ("http://u:p@[1/", ""),
    ],
)
def test_a_user_and_password_are_taken_out_of_a_probes_address(url: str, kept_url: str) -> None:
    kept = checked(CheckDefinition(http=url)).definition
    assert kept is not None
    assert kept.http == kept_url


def test_what_a_probe_said_is_not_kept_what_a_client_said_is() -> None:
    assert checked(CheckDefinition(http="http://web/")).record.output == ""
    assert checked(CheckDefinition(alias_service="web")).record.output == ""
    assert checked(CheckDefinition(ttl=1)).record.output == "said"
    maintenance = KeptCheck(record=RECORD)
    assert kept_check(maintenance) is maintenance


def test_of_the_cas_configuration_only_what_is_known_to_be_public_is_kept() -> None:
    config = {
        "PrivateKey": "k",
        "RootCert": "c",
        "Unheard": "s",
        "LeafCertTTL": "2h",
        "PrivateKeyBits": 384,
    }
    assert kept_ca_config(config) == {"LeafCertTTL": "2h", "PrivateKeyBits": 384}
