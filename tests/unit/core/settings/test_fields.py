"""The table of settings, as a whole."""

import re

import pytest

from connect_proxy.settings.fields import CONSUL_API, CORE
from connect_proxy.settings.setting import Setting, Type


def test_names_and_variables_are_unique() -> None:
    names = [row.name for row in CORE]
    variables = [row.env for row in CORE if row.env]
    assert len(set(names)) == len(names)
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("row", CORE, ids=lambda row: row.name)
def test_a_row_is_complete(row: Setting) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row.name)
    assert re.fullmatch(r"|[A-Z]+(_[A-Z]+)*", row.env)
    assert row.help.endswith(".")
    assert row.group
    assert row.type is Type.BOOLEAN or row.metavar
    assert row.flag or row.env or row.in_file


def test_every_variable_of_consuls_api_client_is_read() -> None:
    assert {row.env for row in CONSUL_API} >= {
        "CONSUL_HTTP_ADDR",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_TOKEN_FILE",
        "CONSUL_HTTP_AUTH",
        "CONSUL_HTTP_SSL",
        "CONSUL_HTTP_SSL_VERIFY",
        "CONSUL_CACERT",
        "CONSUL_CAPATH",
        "CONSUL_CLIENT_CERT",
        "CONSUL_CLIENT_KEY",
        "CONSUL_TLS_SERVER_NAME",
        "CONSUL_NAMESPACE",
        "CONSUL_PARTITION",
    }


def test_passwords_are_no_flags() -> None:
    assert [row.name for row in CORE if not row.flag] == ["http-auth"]
    assert [row.name for row in CORE if row.secret] == ["token", "http-auth"]


def test_the_default_backend_is_builtin_and_can_be_set_by_a_variable() -> None:
    row = CORE[0]
    assert (row.name, row.default, row.env) == ("backend", "builtin", "CONNECT_PROXY_BACKEND")
