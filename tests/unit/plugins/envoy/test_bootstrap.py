"""The bootstrap, case by case, against golden files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.mesh.immutable import thawed
from connect_proxy_envoy.access_log import access_logs
from connect_proxy_envoy.address import PipeAddress, SocketAddress
from connect_proxy_envoy.bootstrap import render
from connect_proxy_envoy.facts import AgentGrpc
from support.envoy_context import GRPC, context, facts, options, registration
from support.golden import CA_FILE, check_golden

TLS = AgentGrpc(
    address=SocketAddress(host="127.0.0.1", port=8503),
    tls=True,
    ca_pem=CA_FILE.read_text(),
)
SOCKET = AgentGrpc(address=PipeAddress(path="/var/run/consul.sock"), tls=False, ca_pem="")
CLUSTER = json.dumps(
    {
        "name": "zipkin",
        "connect_timeout": "5s",
        "type": "STATIC",
        "loadAssignment": {
            "clusterName": "zipkin",
            "endpoints": [
                {
                    "lbEndpoints": [
                        {
                            "endpoint": {
                                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9411}}
                            }
                        }
                    ]
                }
            ],
        },
    }
)
TRACING = json.dumps(
    {
        "http": {
            "name": "envoy.tracers.zipkin",
            "typedConfig": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                "collector_cluster": "zipkin",
                "collector_endpoint_version": "HTTP_JSON",
                "collector_endpoint": "/api/v2/spans",
            },
        }
    }
)

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "telemetry-collector": {"config": {"envoy_telemetry_collector_bind_socket_dir": "/run/consul"}},
    "telemetry-collector-and-statsd": {
        "config": {
            "envoy_hcp_metrics_bind_socket_dir": "/run/consul",
            "envoy_statsd_url": "udp://127.0.0.1:9125",
        }
    },
    "token": {"token": 's3cret "quoted"'},
    "grpc-tls": {"host": facts(grpc=TLS)},
    "grpc-unix-socket": {"host": facts(grpc=SOCKET)},
    "ipv6": {
        "host": facts(
            grpc=AgentGrpc(address=SocketAddress(host="::1", port=8502), tls=False, ca_pem=""),
            admin=SocketAddress(host="::1", port=19000),
        )
    },
    "admin-unix-socket": {
        "host": facts(admin=PipeAddress(path="/run/envoy-admin.sock", mode=0o600)),
        "config": {"envoy_stats_bind_addr": "127.0.0.1:9103"},
    },
    "admin-access-log": {"given": {"admin_access_log_path": "/var/log/admin.log"}},
    "local": {"host": facts(grpc=None), "token": "must-not-appear"},
    "proxy-defaults-access-log": {"host": facts(access_logs=access_logs({"Enabled": True}))},
    "omit-deprecated-tags": {"given": {"omit_deprecated_tags": True}},
    "stats-tags": {"config": {"envoy_stats_tags": ["Canary", "consul.source.datacenter=elsewhere"]}},
    "stats-config": {"config": {"envoy_stats_config_json": '{"use_all_default_tags": false}'}},
    "statsd": {
        "config": {
            "envoy_statsd_url": "udp://127.0.0.1:9125",
            "envoy_dogstatsd_url": "unix:///var/run/dogstatsd.sock",
            "envoy_stats_flush_interval": "10s",
        }
    },
    "statsd-from-environment": {
        "config": {"envoy_statsd_url": "$STATSD", "envoy_dogstatsd_url": "udp://${HOST_IP}:8125"},
        "environment": {"STATSD": "udp://10.0.0.1:9125", "HOST_IP": "10.0.0.2"},
    },
    "prometheus": {"config": {"envoy_prometheus_bind_addr": "0.0.0.0:9102"}},
    "prometheus-backend-tls": {
        "config": {"envoy_prometheus_bind_addr": "0.0.0.0:9102", "envoy_stats_bind_addr": "[::1]:9103"},
        "given": {
            "prometheus_backend_port": "20100",
            "prometheus_scrape_path": "/scrape",
            "prometheus_ca_file": "/etc/ca.pem",
            "prometheus_cert_file": "/etc/cert.pem",
            "prometheus_key_file": "/etc/key.pem",
        },
    },
    "ready": {"given": {"envoy_ready_bind_address": "127.0.0.1", "envoy_ready_bind_port": 4444}},
    "tracing-extra-static": {
        "config": {
            "envoy_tracing_json": TRACING,
            "envoy_extra_static_clusters_json": CLUSTER,
            "envoy_extra_static_listeners_json": json.dumps(
                {
                    "name": "extra",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 9104}},
                    "filter_chains": [{"filters": []}],
                }
            ),
        }
    },
    "escaped-names": {"registration": registration(id='we"b\\1', destination_service_name="we<b>&'")},
    "v2": {"host": facts(v2=True), "token": "s3cret"},
    "v2-tls-everything": {
        "host": facts(v2=True, grpc=TLS),
        "config": {
            "envoy_prometheus_bind_addr": "0.0.0.0:9102",
            "envoy_stats_bind_addr": "127.0.0.1:9103",
            "envoy_statsd_url": "udp://127.0.0.1:9125",
            "envoy_stats_flush_interval": "10s",
            "envoy_stats_tags": ["canary"],
            "envoy_tracing_json": TRACING,
            "envoy_extra_static_clusters_json": CLUSTER,
        },
    },
    "v2-for-envoy-1.10": {"host": facts(v2=True, grpc=SOCKET), "given": {"envoy_version": "1.10.0"}},
    "no-central-config": {
        "config": {"envoy_prometheus_bind_addr": "0.0.0.0:9102"},
        "given": {"no_central_config": True},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_bootstrap_is_as_it_was_read_over(case: str) -> None:
    check_golden(f"envoy/bootstrap/{case}", _document(**CASES[case]))


def test_local_xds_keeps_the_token_out_of_the_bootstrap() -> None:
    rendered = render(context(host=facts(grpc=None), token="must-not-appear"))
    assert "must-not-appear" not in json.dumps(thawed(rendered.document))
    assert rendered.secrets == ()


def test_the_token_is_marked_as_the_secret_part() -> None:
    rendered = render(context(token="s3cret"))
    masked = rendered.masked()
    assert "s3cret" in json.dumps(thawed(rendered.document))
    assert not isinstance(masked, bytes)
    assert "s3cret" not in json.dumps(thawed(masked))


def test_the_users_own_self_admin_cluster_wins_but_the_prometheus_backend_stays() -> None:
    document = _document(
        config={
            "envoy_prometheus_bind_addr": "127.0.0.1:9102",
            "envoy_stats_bind_addr": "127.0.0.1:9103",
            "envoy_extra_static_clusters_json": '{"name": "self_admin"}',
        },
        given={"prometheus_backend_port": "20100"},
    )
    names = [cluster["name"] for cluster in document["static_resources"]["clusters"]]
    assert names == ["local_agent", "self_admin", "prometheus_backend"]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"envoy_extra_static_clusters_json": '{"name": "a"'}, "envoy_extra_static_clusters_json"),
        ({"envoy_extra_static_listeners_json": "1"}, "envoy_extra_static_listeners_json"),
        ({"envoy_tracing_json": "[]"}, "envoy_tracing_json"),
        ({"envoy_stats_config_json": "no"}, "envoy_stats_config_json"),
        ({"envoy_statsd_url": "tcp://127.0.0.1:1"}, "envoy_statsd_url"),
        ({"envoy_statsd_url": "udp://127.0.0.1"}, "envoy_statsd_url"),
        ({"envoy_statsd_url": "udp://name:1"}, "envoy_statsd_url"),
        ({"envoy_statsd_url": "$NOT_SET"}, "envoy_statsd_url"),
        ({"envoy_stats_tags": [{}]}, "envoy_stats_tags"),
        ({"envoy_prometheus_bind_addr": "9102"}, "envoy_prometheus_bind_addr"),
        ({"envoy_stats_bind_addr": "name:9102"}, "envoy_stats_bind_addr"),
        ({"envoy_stats_flush_interval": []}, "envoy_stats_flush_interval"),
    ],
)
def test_a_bad_knob_is_an_error_that_names_its_key(config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        _document(config=config)


def test_half_of_the_ready_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="envoy-ready-bind-port"):
        _document(given={"envoy_ready_bind_address": "127.0.0.1"})


def test_half_of_the_prometheus_certificates_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="prometheus-key-file"):
        _document(given={"prometheus_cert_file": "/etc/cert.pem"})


def test_options_of_the_test_kit_are_the_options_of_the_backend() -> None:
    assert options()["admin-bind"].value == "localhost:19000"
    assert GRPC.ca_pem == ""


def _document(**case: Any) -> Any:
    return thawed(render(context(**case)).document)
