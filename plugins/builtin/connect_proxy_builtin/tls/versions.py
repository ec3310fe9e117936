"""Which TLS versions this side takes part in: ``tls_min_version`` and ``tls_max_version``. Pure.

Names and values are those of Consul's ``tls.defaults.tls_min_version`` and of its ``mesh`` configuration
entry (``TLSMinVersion``, ``TLSMaxVersion``). Older versions than 1.2 are not spoken at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin import config_values

AUTO: Final = "TLS_AUTO"
"""Consul's word for the default."""


class TlsVersion(IntEnum):
    """By its name at Consul; the value is the one on the wire (RFC 8446, 4.2.1)."""

    TLSv1_2 = 0x0303
    TLSv1_3 = 0x0304


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsVersions:
    """For callers and for instances alike."""

    minimum: TlsVersion = TlsVersion.TLSv1_2
    maximum: TlsVersion = TlsVersion.TLSv1_3


EVERY_VERSION: Final = TlsVersions()


def tls_versions(config: Mapping[str, Any], *, where: str) -> TlsVersions:
    """The configured range. Raises ConfigurationError for unknown versions and for a range without any."""
    choices = ("", AUTO, *TlsVersion.__members__)
    low, high = (
        config_values.choice(config, key, choices=choices, where=where)
        for key in ("tls_min_version", "tls_max_version")
    )
    versions = TlsVersions(
        minimum=TlsVersion[low] if low not in {"", AUTO} else TlsVersion.TLSv1_2,
        maximum=TlsVersion[high] if high not in {"", AUTO} else TlsVersion.TLSv1_3,
    )
    if versions.minimum > versions.maximum:
        message = f"{where}: tls_min_version {low!r} is above tls_max_version {high!r}; give a range"
        raise ConfigurationError(message)
    return versions
