"""A bootstrap from the registration's own template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.immutable import thawed
from connect_proxy.plugin_api import RenderedConfig
from connect_proxy_envoy.address import PipeAddress
from connect_proxy_envoy.bootstrap import render
from connect_proxy_envoy.facts import AgentGrpc
from support.envoy_context import context, facts
from support.golden import CA_FILE, check_golden

TEMPLATE = """{
  "admin": {
    {{- if .AdminAccessLogConfig }}
    "access_log": [
      {{- range $index, $log := .AdminAccessLogConfig }}{{ if $index }},{{ end }}{{ $log }}{{ end -}}
    ],
    {{- end }}
    "address": {"socket_address": {
      "address": "{{ .AdminBindAddress }}", "port_value": {{ .AdminBindPort }}}}
  },
  "node": {"cluster": "{{ .ProxyCluster }}", "id": "{{ .ProxyID }}",
    "metadata": {"namespace": "{{ .Namespace }}", "partition": "{{ .Partition }}"}},
  "static_resources": {
    "clusters": [{
      "name": "{{ .LocalAgentClusterName }}", "connect_timeout": "1s", "type": "STATIC",
      {{ if .AgentTLS -}}
      "transport_socket": {"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"validation_context": {
          "trusted_ca": {"inline_string": "{{ .AgentCAPEM }}"}}}}},
      {{- end }}
      "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}},
      "loadAssignment": {"clusterName": "{{ .LocalAgentClusterName }}", "endpoints": [{"lbEndpoints": [
        {"endpoint": {"address": {
          {{- if .AgentSocket -}}
          "pipe": {"path": "{{ .AgentSocket }}"}
          {{- else -}}
          "socket_address": {"address": "{{ .AgentAddress }}", "port_value": {{ .AgentPort }}}
          {{- end -}}
        }}}]}]}
    }{{ if .StaticClustersJSON }}, {{ .StaticClustersJSON }}{{ end }}]
    {{- if .StaticListenersJSON }}, "listeners": [{{ .StaticListenersJSON }}]{{ end }}
  },
  "stats_config": {{ .StatsConfigJSON }},
  "dynamic_resources": {
    "lds_config": {"ads": {}, "resource_api_version": "V3"},
    "cds_config": {"ads": {}, "resource_api_version": "V3"},
    "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": {
      "initial_metadata": [{"key": "x-consul-token", "value": "{{ .Token }}"}],
      "envoy_grpc": {"cluster_name": "{{ .LocalAgentClusterName }}"}}}
  }
}"""

TLS = AgentGrpc(address=PipeAddress(path="/run/grpc.sock"), tls=True, ca_pem=CA_FILE.read_text())
CASES: dict[str, dict[str, Any]] = {
    "template": {"token": 'quo"ted', "config": {"envoy_stats_bind_addr": "127.0.0.1:9103"}},
    "template-tls-socket": {"host": facts(grpc=TLS)},
    "template-local": {"host": facts(grpc=None), "token": "must-not-appear"},
}


def _render(
    *, template: str = TEMPLATE, config: dict[str, Any] | None = None, **case: Any
) -> RenderedConfig:
    return render(context(config={**(config or {}), "envoy_bootstrap_json_tpl": template}, **case))


@pytest.mark.parametrize("case", CASES)
def test_a_template_in_the_manner_of_consuls_own_gives_a_bootstrap(case: str) -> None:
    rendered = _render(**CASES[case])
    assert not isinstance(rendered.document, bytes)
    check_golden(f"envoy/bootstrap/{case}", rendered.document)


def test_the_token_is_found_wherever_the_template_put_it() -> None:
    rendered = _render(
        template='{"a/b": [{"x": "Bearer {{ .Token }}"}], "y": "{{ .ProxyID }}"}', token="s3cret"
    )
    assert rendered.secrets == ("/a~1b/0/x",)
    assert "s3cret" not in json.dumps(thawed(rendered.masked()))


def test_with_local_xds_there_is_no_token_to_put_in() -> None:
    rendered = _render(host=facts(grpc=None), token="must-not-appear")
    assert "must-not-appear" not in json.dumps(thawed(rendered.document))


@pytest.mark.parametrize(
    ("template", "said"), [('{"a": {{ .Token }}', "no JSON"), ("[]", "object"), ("{{ .No }}", "'.No'")]
)
def test_a_template_that_gives_no_bootstrap_is_an_error_without_the_token(template: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        _render(template=template, token="s3cret")
    assert "s3cret" not in str(caught.value)
