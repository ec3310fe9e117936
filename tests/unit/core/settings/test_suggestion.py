"""The name that was probably meant."""

from connect_proxy.settings.suggestion import suggestion


def test_the_nearest_name_is_suggested() -> None:
    assert suggestion("sidecar-fro", ["proxy-id", "sidecar-for"]) == "sidecar-for"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert suggestion("zzz", ["proxy-id", "sidecar-for"]) == ""
    assert suggestion("x", []) == ""
