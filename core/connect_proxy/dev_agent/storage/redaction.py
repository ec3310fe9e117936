"""What is taken out of the state before it goes to disk, beside every ``Secret``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from connect_proxy.dev_agent.prepared_queries import PreparedQuery
from connect_proxy.dev_agent.records import CheckDefinition
from connect_proxy.dev_agent.storage.kept import KeptCheck
from connect_proxy.secret import MASK

CREDENTIAL_HEADERS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-api-key",
        "x-auth-token",
        "x-consul-token",
        "x-nomad-token",
        "x-vault-token",
    }
)
"""Headers of HTTP checks whose values are credentials, in lower case."""
_CA_SETTINGS: Final = (
    "CSRMaxConcurrent",
    "CSRMaxPerSecond",
    "IntermediateCertTTL",
    "LeafCertTTL",
    "PrivateKeyBits",
    "PrivateKeyType",
    "RotationPeriod",
)
"""What is kept of the CA's configuration: it is opaque, so what is not known could be a secret."""


def kept_query(query: PreparedQuery) -> PreparedQuery:
    """*query* with the mask in the place of its token."""
    if not query.definition.get("Token"):
        return query
    return replace(query, definition={**query.definition, "Token": MASK})


def kept_check(check: KeptCheck) -> KeptCheck:
    """*check* without the credentials that its probe sends, and without what the probe said: that may quote
    them, and it is said anew at once. What a client or an operator said stays."""
    if check.definition is None:
        return check
    record = check.record if check.definition.type == "ttl" else replace(check.record, output="")
    return KeptCheck(record=record, definition=_without_credentials(check.definition))


def _without_credentials(definition: CheckDefinition) -> CheckDefinition:
    headers = {
        name: values
        for name, values in definition.header.items()
        if name.strip().lower() not in CREDENTIAL_HEADERS
    }
    return replace(definition, header=MappingProxyType(headers), http=_without_user(definition.http))


def _without_user(url: str) -> str:
    """*url* without ``user:password@``; nothing of what cannot be taken apart."""
    if "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def kept_ca_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The known settings of the CA's configuration that are no key."""
    return {name: config[name] for name in _CA_SETTINGS if name in config}
