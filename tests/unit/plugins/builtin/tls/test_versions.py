from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy_builtin.tls.versions import EVERY_VERSION, TlsVersion, TlsVersions, tls_versions


@pytest.mark.parametrize("config", [{}, {"tls_min_version": "", "tls_max_version": "TLS_AUTO"}])
def test_both_versions_are_spoken_unless_told_otherwise(config: dict[str, Any]) -> None:
    assert tls_versions(config, where="w") == EVERY_VERSION
    assert TlsVersions(minimum=TlsVersion.TLSv1_2, maximum=TlsVersion.TLSv1_3) == EVERY_VERSION


def test_each_end_of_the_range_is_configured_by_itself() -> None:
    assert tls_versions({"tls_min_version": "TLSv1_3"}, where="w").minimum is TlsVersion.TLSv1_3
    assert tls_versions({"tls_max_version": "TLSv1_2"}, where="w").maximum is TlsVersion.TLSv1_2


@pytest.mark.parametrize("raw", ["TLSv1_1", "tls12", "1.3", 3, True, ["TLSv1_2"]])
def test_another_version_is_an_error_that_names_place_key_and_value(raw: object) -> None:
    for key in ("tls_min_version", "tls_max_version"):
        with pytest.raises(ConfigurationError) as caught:
            tls_versions({key: raw}, where="proxy 'web'")
        assert "proxy 'web'" in str(caught.value)
        assert key in str(caught.value)
        assert repr(raw) in str(caught.value)


def test_a_range_that_no_version_is_in_is_an_error() -> None:
    config = {"tls_min_version": "TLSv1_3", "tls_max_version": "TLSv1_2"}
    with pytest.raises(ConfigurationError, match="above tls_max_version 'TLSv1_2'"):
        tls_versions(config, where="w")
