from __future__ import annotations

import pytest

from connect_proxy.managed.definitions.clashes import clashes
from connect_proxy.managed.definitions.decoding import configuration, read_table
from connect_proxy.managed.definitions.hcl import parse_hcl

BACKENDS = ("builtin", "custom_exec", "envoy")


def found(text: str) -> list[str]:
    return list(clashes(configuration([read_table(parse_hcl(text), "x.hcl")]), backends=BACKENDS))


def proxied(name: str, inside: str, *, port: int = 8080) -> str:
    return f'services {{ name = "{name}" port = {port} connect {{ proxy {{ {inside} }} }} }}\n'


def upstream(port: int | str, *, name: str = "db", more: str = "") -> str:
    return f'upstreams {{ destination_name = "{name}" local_bind_port = {port} {more} }}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            proxied("web", f"config {{ bind_port = 20001 }} {upstream(20001)}"),
            'x.hcl:1:1: upstream "db" of proxy "web-proxy" wants port 20001,'
            ' which proxy "web-proxy" itself has (x.hcl:1:1); give one another',
        ),
        (
            proxied("a", "config { bind_port = 20001 }", port=1) + proxied("b", upstream(20001), port=2),
            'x.hcl:2:1: upstream "db" of proxy "b-proxy" wants port 20001, which proxy "a-proxy" itself has'
            " (x.hcl:1:1); give one another",
        ),
        (
            proxied("a", 'config { bind_port = "20001" }', port=1)
            + proxied("b", "config { bind_port = 20001 }", port=2),
            'x.hcl:2:1: proxy "b-proxy" itself wants port 20001, which proxy "a-proxy" itself has'
            " (x.hcl:1:1); give one another",
        ),
        (
            proxied("a", upstream(1234), port=1) + proxied("b", upstream(1234), port=2),
            'x.hcl:2:1: upstream "db" of proxy "b-proxy" wants port 1234, which upstream "db" of proxy'
            ' "a-proxy" has (x.hcl:1:1); give one another',
        ),
        (
            proxied("a", upstream(1234, more='local_bind_address = "0.0.0.0"'), port=1)
            + proxied("b", upstream(1234), port=2),
            'x.hcl:2:1: upstream "db" of proxy "b-proxy" wants port 1234, which upstream "db" of proxy'
            ' "a-proxy" has (x.hcl:1:1); give one another',
        ),
        (
            proxied("web", upstream(8080)),
            'x.hcl:1:1: upstream "db" of proxy "web-proxy" wants port 8080, which service "web" has'
            " (x.hcl:1:1); give one another",
        ),
        (
            proxied("a", upstream(0, more='local_bind_socket_path = "/run/x"'), port=1)
            + proxied("b", upstream(0, more='local_bind_socket_path = "/run/x"'), port=2),
            'x.hcl:2:1: upstream "db" of proxy "b-proxy" wants /run/x, which upstream "db" of proxy'
            ' "a-proxy" has (x.hcl:1:1); give one another',
        ),
        (
            proxied("web", upstream(1234) + upstream(1235)),
            'x.hcl:1:1: proxy "web-proxy" has the upstream "db" twice; Consul takes it once',
        ),
        (
            proxied("web", 'upstreams { destination_name = "db" }'),
            'x.hcl:1:1: upstream "db" of proxy "web-proxy" has no local port; give local_bind_port',
        ),
        (
            proxied("web", upstream(65536)),
            'x.hcl:1:1: upstream "db" of proxy "web-proxy": 65536 is no port; give one from 1 to 65535',
        ),
        (
            proxied("web", "config { bind_port = -1 }"),
            "x.hcl:1:1: proxy \"web-proxy\": bind_port is '-1': not a port; give a number from 1 to 65535,"
            " or leave it out",
        ),
        (
            proxied("web", 'config { local_service_address = "10.0.0.1" }'),
            "x.hcl:1:1: local_service_address of the proxy 'web-proxy' is '10.0.0.1': give HOST:PORT,"
            " where its service listens, or give the service a port",
        ),
        (
            'service { name = "web" port = 70000 address = "10.0.0.1" }',
            'x.hcl:1:1: the port of service "web": 70000 is no port; give one from 1 to 65535',
        ),
        (
            'service { name = "web" connect { proxy {} } }',
            'x.hcl:1:1: service "web" has a proxy and no port; give the port that the proxy leads to',
        ),
        (
            'services { name = "web" }\nservices { id = "web" name = "other" }',
            'x.hcl:2:1: service has the id "web" that service in x.hcl:1:1 has; give one another id',
        ),
        (
            proxied("web", "") + 'services { name = "web-proxy" }',
            'x.hcl:1:1: the proxy of "web" has the id "web-proxy" that service in x.hcl:2:1 has;'
            " give one another id",
        ),
        (
            proxied("web", 'backend = "envy"'),
            'x.hcl:1:1: proxy "web-proxy": backend "envy" is unknown; did you mean "envoy"?'
            " (installed: builtin, custom_exec, envoy)",
        ),
        (
            'service { name = "p" kind = "connect-proxy" port = 1 proxy { destination_service_name = "a"'
            ' upstreams { destination_name = "b" } } }',
            'x.hcl:1:1: upstream "b" of proxy "p" has no local port; give local_bind_port',
        ),
        (
            "ports { proxy_min_port = 20010 proxy_max_port = 20000 }",
            'ports: "proxy_min_port" is 20010, "proxy_max_port" is 20000;'
            " the last port cannot be below the first",
        ),
        (
            "ports { sidecar_min_port = 0 }",
            'ports: "sidecar_min_port" is 0, "sidecar_max_port" is 21255; give ports from 1 to 65535,'
            " or 0 for both to allocate none",
        ),
    ],
)
def test_a_clash_is_told_with_both_sides(text: str, said: str) -> None:
    assert found(text) == [said]


@pytest.mark.parametrize(
    "text",
    [
        proxied("a", upstream(1234), port=1)
        + proxied("b", upstream(1234, more='local_bind_address = "127.0.0.2"'), port=2),
        proxied("a", upstream(1), port=8080) + proxied("b", upstream(2), port=8080),
        'service { name = "a" port = 1234 address = "10.0.0.1" }\n' + proxied("b", upstream(1234), port=2),
        proxied("a", upstream(1) + upstream(2, more='datacenter = "dc2"')),
        proxied("a", upstream(0, more='local_bind_socket_path = "/run/x"')),
        proxied("a", 'config { bind_port = "" }'),
        "ports { proxy_min_port = 0 proxy_max_port = 0 }",
        'services { name = "a" connect { sidecar_service {} } }',
    ],
)
def test_what_can_work_together_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_sidecars_port_counts_too() -> None:
    text = (
        'services { name = "a" port = 1 connect { sidecar_service { backend = "envoy" port = 21000 } } }\n'
        + proxied("b", upstream(21000), port=2)
    )
    assert found(text) == [
        'x.hcl:2:1: upstream "db" of proxy "b-proxy" wants port 21000, which the sidecar of "a" has'
        " (x.hcl:1:1); give one another"
    ]


def test_without_names_no_backend_is_unknown() -> None:
    text = proxied("web", 'backend = "strange"')
    assert clashes(configuration([read_table(parse_hcl(text), "x.hcl")])) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/b", 'x.hcl:1:1: the service name "a/b" fits no certificate, so it can have no proxy'),
        (".", 'x.hcl:1:1: the service name "." fits no certificate'),
        ("..", 'x.hcl:1:1: the service name ".." fits no certificate'),
        ("a\\nb", "x.hcl:1:1: 'a\\nb' with the id 'a\\nb-proxy' has characters that cannot be printed"),
        ("é" * 100, "x.hcl:1:1: the proxy's id \"" + "é" * 100 + '-proxy" has 206 bytes'),
    ],
)
def test_a_name_that_no_certificate_or_file_can_have_is_refused_for_proxies_alone(
    name: str, said: str
) -> None:
    (problem,) = found(proxied(name, ""))
    assert problem.startswith(said)
    assert found(f'service {{ name = "{name}" port = 8080 }}') == []


@pytest.mark.parametrize("name", ["web", "café ☃", "a.b_c-d", "x" * 194])
def test_other_names_are_fine(name: str) -> None:
    assert found(proxied(name, "")) == []


def test_an_id_may_have_a_slash() -> None:
    assert found('service { id = "host/web" name = "web" port = 8080 connect { proxy {} } }') == []
