"""Go's text/template, the part that is supported."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError
from connect_proxy_envoy.template.document import render_template
from connect_proxy_envoy.template.words import RawJson

FIELDS: dict[str, Any] = {
    "ProxyID": 'we"b',
    "Empty": "",
    "AgentTLS": True,
    "Off": False,
    "Port": "8502",
    "Number": 3,
    "GRPC": {"AgentPort": "8502"},
    "Logs": [RawJson('{"a": 1}'), RawJson('{"b": 2}')],
    "None": [],
    "Json": RawJson('{"x": "y"}'),
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{{ .Port }}", "8502"),
        ("{{.Port}}", "8502"),
        ("{{ .GRPC.AgentPort }}", "8502"),
        ("{{ $.Port }}", "8502"),
        ("{{ .ProxyID }}", 'we\\"b'),
        ("{{ .Json }}", '{"x": "y"}'),
        ("{{ .AgentTLS }} {{ .Number }}", "true 3"),
        ("a  {{- .Port -}}  b", "a8502b"),
        ("a {{/* said aside */}}b", "a b"),
        ("a {{- /* said aside */ -}} b", "ab"),
        ("{{ if .AgentTLS }}yes{{ end }}", "yes"),
        ("{{ if .Empty }}yes{{ end }}", ""),
        ("{{ if .Off }}yes{{ else }}no{{ end }}", "no"),
        ("{{ if .Off }}1{{ else if .Empty }}2{{ else if .Port }}3{{ else }}4{{ end }}", "3"),
        ("{{ if .Off }}1{{ else if .Empty }}2{{ else }}4{{ end }}!", "4!"),
        ("{{ if .Port }}{{ if .Off }}1{{ else }}2{{ end }}3{{ else }}4{{ end }}", "23"),
        ("{{ if not .Off }}yes{{ end }}", "yes"),
        ('{{ if eq .Port "8502" }}yes{{ end }}', "yes"),
        ('{{ if eq .Port "1" "8502" }}yes{{ end }}', "yes"),
        ("{{ if ne .Number 3 }}yes{{ else }}no{{ end }}", "no"),
        ("{{ if and .Port (not .Off) }}yes{{ end }}", "yes"),
        ("{{ or .Empty .Port }}", "8502"),
        ("{{ if eq .Off false }}yes{{ end }}", "yes"),
        ("{{ `raw` }}", "raw"),
        ("{{ range .Logs }}{{ . }};{{ end }}", '{"a": 1};{"b": 2};'),
        ("{{ range $log := .Logs }}{{ $log }}{{ $.Port }}{{ end }}", '{"a": 1}8502{"b": 2}8502'),
        ("{{ range $i, $log := .Logs }}{{ if $i }},{{ end }}{{ $log }}{{ end }}", '{"a": 1},{"b": 2}'),
        ("{{ range .None }}x{{ else }}nothing{{ end }}", "nothing"),
        ("{{ with .Port }}{{ . }}{{ else }}none{{ end }}", "8502"),
        ("{{ with .Empty }}{{ . }}{{ else }}none{{ end }}", "none"),
    ],
)
def test_a_template_is_rendered_as_go_would(template: str, expected: str) -> None:
    assert render_template(template, FIELDS) == expected


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ .NoSuch }}", "'.NoSuch'"),
        ("{{ .Port.More }}", "'.Port.More'"),
        ("{{ $nobody }}", r"'\$nobody'"),
        ("{{ printf .Port }}", "'printf'.*supported are and, eq, ne, not, or"),
        ("{{ .Port | printf }}", "after a value"),
        ("{{ if .Port }}", "'if' without an 'end'"),
        ("{{ if .Port }}{{ else }}{{ else }}{{ end }}", "'if' without an 'end'"),
        ("{{ end }}", "'end' without a beginning"),
        ("{{ else }}", "'else' without a beginning"),
        ("{{ if .Port }}{{ else with .Port }}{{ end }}", "else with"),
        ("{{ .Port", "without '}}'"),
        ("{{ }}", "empty expression"),
        ("{{ if }}{{ end }}", "empty expression"),
        ("{{ eq .Port }}", "gives 'eq' 1 value"),
        ("{{ not (.Port }}", "open parenthesis"),
        ("{{ range .Port }}{{ end }}", "no list"),
        ("{{ range a, b := .Logs }}{{ end }}", "variables"),
        ("{{ .Logs }}", "no single value"),
        ("{{ ~ }}", "cannot be read"),
        ('{{ template "x" }}', "'template'"),
    ],
)
def test_what_is_not_supported_is_an_error_that_says_so(template: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"envoy_bootstrap_json_tpl .*{said}"):
        render_template(template, FIELDS)


@given(st.text())
def test_any_text_is_rendered_or_refused(template: str) -> None:
    try:
        rendered = render_template(template, FIELDS)
    except ConfigurationError:
        return
    assert "{{" in template or rendered == template


@given(st.text(alphabet='{}.-"$ ifendranglsPot:=(),|`/*', max_size=40))
def test_any_template_is_rendered_or_refused(template: str) -> None:
    with contextlib.suppress(ConfigurationError):
        render_template(template, FIELDS)
