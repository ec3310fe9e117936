"""``AccessLogs`` of proxy-defaults, as Envoy's admin API is to write it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy_envoy.access_log import access_logs
from connect_proxy_envoy.bootstrap import render
from support.envoy_context import context, facts


def _config(**settings: Any) -> dict[str, Any]:
    (log,) = access_logs({"Enabled": True, **settings})
    assert log["name"] == "Consul Listener Filter Log"
    config: dict[str, Any] = log["typedConfig"]
    return config


def test_the_default_is_json_of_24_fields_on_stdout() -> None:
    config = _config()
    assert config["@type"].endswith("StdoutAccessLog")
    assert len(config["logFormat"]["jsonFormat"]) == 24
    assert config["logFormat"]["jsonFormat"]["method"] == "%REQ(:METHOD)%"


def test_a_text_format_gets_its_line_end() -> None:
    config = _config(Type="stderr", TextFormat="%PROTOCOL%")
    assert config["@type"].endswith("StderrAccessLog")
    assert config["logFormat"] == {"textFormatSource": {"inlineString": "%PROTOCOL%\n"}}


def test_a_file_has_its_path_and_an_own_format() -> None:
    config = _config(Type="file", Path="/var/log/admin.log", JSONFormat='{"m": "%REQ(:METHOD)%"}')
    assert config["@type"].endswith("FileAccessLog")
    assert config["path"] == "/var/log/admin.log"
    assert config["logFormat"] == {"jsonFormat": {"m": "%REQ(:METHOD)%"}}


@pytest.mark.parametrize("settings", [{}, {"Enabled": False, "Type": "file"}])
def test_what_is_not_enabled_is_left_to_the_flag(settings: dict[str, Any]) -> None:
    assert access_logs(settings) == ()


@pytest.mark.parametrize("settings", [{"Type": "syslog"}, {"JSONFormat": "{"}])
def test_what_cannot_be_is_an_error_that_names_the_entry(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="proxy-defaults/global"):
        access_logs({"Enabled": True, **settings})


def test_the_bootstrap_takes_it_instead_of_the_flags_path() -> None:
    logs = access_logs({"Enabled": True})
    config = render(context(host=facts(access_logs=logs)))
    assert not isinstance(config.document, bytes)
    assert json.loads(json.dumps(config.document["admin"]["access_log"])) == list(logs)
