from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import AgentConfigurationError
from connect_proxy.managed.definitions import consul_keys
from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    PortRanges,
    ServiceDefinition,
)
from connect_proxy.managed.definitions.decoding import configuration, read_table
from connect_proxy.managed.definitions.hcl import parse_hcl, parse_json
from connect_proxy.mesh.immutable import thawed
from connect_proxy.mesh.registration import Upstream
from connect_proxy.secret import Secret


def read(*texts: str) -> AgentConfiguration:
    return configuration(read_table(parse_hcl(text), f"{n}.hcl") for n, text in enumerate(texts))


def only(text: str) -> ServiceDefinition:
    (found,) = read(text).services
    return found


def body(text: str) -> Any:
    return thawed(only(text).body)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(AgentConfigurationError) as caught:
        read(text)
    return caught.value.problems


def web(inside: str) -> str:
    return f'service {{ name = "web"  port = 8080 {inside} }}'


# ---------------------------------------------------------------- the agent


def test_nothing_said_means_the_defaults() -> None:
    assert read("") == AgentConfiguration()
    assert read("").connect_enabled


def test_the_agents_own_keys() -> None:
    found = read(
        """
        data_dir = "/var/lib/x"  log_level = "debug"  bind_addr = "10.0.0.1"
        connect {
          enabled = false
          proxy { allow_managed_root = true allow_managed_api_registration = true }
          proxy_defaults { exec_mode = "daemon" daemon_command = ["/bin/x", "-y"] config { a = 1 } }
        }
        ports { proxy_min_port = 1 proxy_max_port = 2 sidecar_min_port = "3" sidecar_max_port = 4.0 }
        """
    )
    assert (found.data_dir, found.log_level, found.bind_address) == ("/var/lib/x", "DEBUG", "10.0.0.1")
    assert (found.connect_enabled, found.allow_managed_root, found.allow_managed_api_registration) == (
        False,
        True,
        True,
    )
    assert found.proxy_defaults.command == ("/bin/x", "-y")
    assert found.proxy_defaults.config == {"a": 1}
    assert found.ports == PortRanges(proxy_min=1, proxy_max=2, sidecar_min=3, sidecar_max=4)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ('acl { tokens { default = "d" } }', "d"),
        ('acl { tokens { default = "d" agent = "a" } }', "a"),
        ('acl_token = "d"', "d"),
        ('acl_token = "d" acl_agent_token = "a"', "a"),
        ("acl { enabled = true }", ""),
    ],
)
def test_the_agents_token_comes_before_the_default_one(text: str, token: str) -> None:
    assert read(text).acl_token == Secret(token)


def test_the_last_file_has_the_last_word_and_services_add_up() -> None:
    found = read(
        'data_dir = "/a" ports { proxy_min_port = 1 } service { name = "a" }'
        ' connect { proxy_defaults { command = ["x"] config { a = 1 b { c = 1 } } } }',
        'data_dir = "/b" ports { proxy_max_port = 2 } services { name = "b" }'
        ' connect { proxy_defaults { backend = "envoy" config { b { d = 2 } } } }',
    )
    assert found.data_dir == "/b"
    assert (found.ports.proxy_min, found.ports.proxy_max) == (1, 2)
    assert [service.name for service in found.services] == ["a", "b"]
    assert (found.proxy_defaults.command, found.proxy_defaults.backend) == ((), "envoy")
    assert found.proxy_defaults.config == {"a": 1, "b": {"c": 1, "d": 2}}


def test_one_warning_names_all_keys_of_consul_that_mean_nothing_here() -> None:
    found = read(
        "server = true\nports { http = 1 }", "connect { ca_provider = 1 }\nacl { tokens { master = 1 } }"
    )
    assert found.warnings == (
        'keys of Consul that mean nothing here are left aside: "server" (0.hcl:1), "ports.http" (0.hcl:2),'
        ' "connect.ca_provider" (1.hcl:1), "acl.tokens.master" (1.hcl:2); give this agent a config folder'
        " of its own: a Consul 1.6 or newer does not take managed proxies",
    )


@pytest.mark.parametrize("key", sorted(consul_keys.AGENT))
def test_a_key_of_consul_is_no_error_whatever_stands_behind_it(key: str) -> None:
    (warning,) = read(f"{key} {{ a = 1 }}").warnings
    assert f'"{key}" (0.hcl:1)' in warning


def test_a_check_outside_of_a_service_keeps_its_token_apart() -> None:
    (check,) = read('check { id = "c" name = "n" tcp = "a:1" interval = "10s" token = "t" }').checks
    assert thawed(check.body) == {"ID": "c", "Name": "n", "TCP": "a:1", "Interval": "10s"}
    assert check.token == Secret("t")
    assert str(check.origin) == "0.hcl:1:1"


# ---------------------------------------------------------------- services


def test_a_definition_becomes_the_body_of_consuls_api() -> None:
    assert body(
        """
        service {
          id = "web1" name = "web" port = "8080" address = "10.0.0.1" tags = ["a", "b"]
          meta { version = "1" }  weights { passing = 2 warning = 1 }  enable_tag_override = true
          tagged_addresses { lan { address = "10.0.0.2" port = 1 } }
          check { http = "http://x" interval = "10s" header { a = ["b"] } script_args = ["x"] }
          checks = [{ check_id = "c" grpc = "x" grpc_use_tls = true }]
        }
        """
    ) == {
        "ID": "web1",
        "Name": "web",
        "Port": 8080,
        "Address": "10.0.0.1",
        "Tags": ["a", "b"],
        "Meta": {"version": "1"},
        "Weights": {"Passing": 2, "Warning": 1},
        "EnableTagOverride": True,
        "TaggedAddresses": {"lan": {"Address": "10.0.0.2", "Port": 1}},
        "Checks": [
            {"HTTP": "http://x", "Interval": "10s", "Header": {"a": ["b"]}, "Args": ["x"]},
            {"CheckID": "c", "GRPC": "x", "GRPCUseTLS": True},
        ],
    }


@pytest.mark.parametrize("spelling", ["enable_tag_override", "EnableTagOverride", "ENABLETAGOVERRIDE"])
def test_a_key_may_be_spelled_as_in_the_files_or_as_in_the_api(spelling: str) -> None:
    assert body(web(f"{spelling} = true"))["EnableTagOverride"] is True


@pytest.mark.parametrize("value", ['"web"', '["web"]', '[["web"]]'])
def test_a_list_of_one_is_read_where_one_is_wanted(value: str) -> None:
    found = only(f"service {{ name = {value} token = {value} }}")
    assert (found.name, found.token) == ("web", Secret("web"))


def test_null_is_as_good_as_nothing() -> None:
    table = parse_json('{"service": {"name": "web", "port": null, "check": null}}')
    (found,) = configuration([read_table(table, "x.json")]).services
    assert thawed(found.body) == {"ID": "web", "Name": "web"}


def test_tokens_are_taken_out_of_the_body_and_never_shown() -> None:
    found = only(web('token = "s3krit" connect { sidecar_service { token = "s4krit" } }'))
    assert (found.token, found.sidecar_token) == (Secret("s3krit"), Secret("s4krit"))
    assert "krit" not in repr(found)


def test_a_token_of_the_wrong_kind_is_not_shown_either() -> None:
    assert problems(web("token = 1234")) == (
        '0.hcl:1:37: "service.token" is no string; give an ACL token in quotes',
    )


def test_a_services_check_has_no_token_of_its_own() -> None:
    found = read(web('check { ttl = "5s" token = "s3krit" }'))
    assert "krit" not in repr(found)
    assert found.warnings == (
        '0.hcl:1:37: "service.check.token" is left aside: the service\'s own token counts',
    )


def test_a_managed_proxy() -> None:
    found = only(
        web(
            """connect { proxy { backend = "envoy" config { bind_port = 20001
                 upstreams = [{ destination_name = "a" local_bind_port = 1 }] }
               upstreams { destination_name = "b" local_bind_port = "2" }
               upstreams { destination_name = "c" } } }"""
        )
    )
    assert found.proxy is not None
    assert found.proxy.backend == "envoy"
    assert found.proxy.config["bind_port"] == 20001
    assert [one.destination_name for one in found.proxy.upstreams] == ["b", "c", "a"]
    assert "Connect" not in found.body


def test_an_upstream_in_full() -> None:
    found = only(
        web(
            """connect { proxy { config { upstreams {
                 DestinationName = "db" destination_type = "prepared_query" destination_datacenter = "dc2"
                 destination_namespace = "ns" local_bind_address = "127.0.0.2" local_bind_port = 5432
                 local_bind_socket_path = "/run/x" local_bind_socket_mode = "0600"
                 connect_timeout_ms = 500 config { protocol = "http" } } } } }"""
        )
    )
    assert found.proxy is not None
    assert found.proxy.upstreams == (
        Upstream(
            destination_name="db",
            destination_type="prepared_query",
            destination_namespace="ns",
            datacenter="dc2",
            local_bind_address="127.0.0.2",
            local_bind_port=5432,
            local_bind_socket_path="/run/x",
            local_bind_socket_mode="0600",
            config={"connect_timeout_ms": 500, "protocol": "http"},
        ),
    )


def test_a_sidecar_stands_in_the_body_and_is_not_started() -> None:
    found = only(web("connect { sidecar_service { port = 21000 tags = [] } }"))
    assert thawed(found.body["Connect"]) == {"SidecarService": {"Port": 21000, "Tags": []}}
    assert found.sidecar is None


def test_a_kind_that_no_consul_knows_is_warned_of_with_the_one_that_is_meant() -> None:
    found = read('service { name = "p" port = 1 kind = "conect-proxy" }')
    assert found.warnings == (
        '0.hcl:1:1: "service.kind" is "conect-proxy", which no Consul knows; did you mean "connect-proxy"?',
    )
    assert read('service { name = "p" port = 1 kind = "mesh-gateway" }').warnings == ()


@pytest.mark.parametrize("how", ['backend = "envoy"', 'command = ["/bin/x"] exec_mode = "daemon"'])
def test_a_sidecar_with_a_backend_or_a_command_is_started(how: str) -> None:
    upstreams = 'upstreams { destination_name = "a" local_bind_port = 1 }'
    found = only(
        web(f"connect {{ sidecar_service {{ {how} proxy {{ config {{ a = 1 }} {upstreams} }} }} }}")
    )
    assert found.sidecar is not None
    assert found.sidecar.backend or found.sidecar.command
    assert found.sidecar.config == {"a": 1}
    assert [one.local_bind_port for one in found.sidecar.upstreams] == [1]
    assert thawed(found.body["Connect"]) == {
        "SidecarService": {
            "Proxy": {"Config": {"a": 1}, "Upstreams": [{"DestinationName": "a", "LocalBindPort": 1}]}
        }
    }


@pytest.mark.parametrize(
    "destination",
    [
        'ProxyDestination = "web"',
        'proxy_destination = "web"',
        'proxy { destination_service_name = "web" }',
        'proxy { DestinationServiceName = "web" } proxy_destination = "web"',
    ],
)
def test_an_unmanaged_proxy_is_translated(destination: str) -> None:
    assert body(f'service {{ name = "p" kind = "connect-proxy" port = 1 {destination} }}') == {
        "ID": "p",
        "Name": "p",
        "Kind": "connect-proxy",
        "Port": 1,
        "Proxy": {"DestinationServiceName": "web"},
    }


def test_a_proxy_block_in_the_wrong_place_is_warned_of() -> None:
    (warning,) = read(web("proxy {}")).warnings
    assert "for a managed proxy write connect { proxy { … } }" in warning


def test_an_opaque_config_keeps_its_blocks_and_lists() -> None:
    found = only(web("connect { proxy { config { a { b = 1 } c = [{ d = 1 }] e { } e { f = true } } } }"))
    assert found.proxy is not None
    assert thawed(found.proxy.config) == {"a": {"b": 1}, "c": [{"d": 1}], "e": [{}, {"f": True}]}


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('service "web" {}', '1:1: "service" takes no label; write service { name = "web" … }'),
        ("service = 1", '1:1: "service" is a number; give a block: service { … }'),
        ('services = ["a"]', '1:1: "services[0]" is a string "a"; give a block: services[0] { … }'),
        ("service { port = 1 }", '1:1: "service" has no name; every service needs one'),
        (web("tags = 1"), '1:37: "service.tags" is a number; give a list, such as ["x"]'),
        (web("tags = [1]"), '1:37: "service.tags[0]" is a number; give a string, such as "x"'),
        (
            'service { name = "web" port = 80.5 }',
            '1:24: "service.port" is a number; give a whole number, such as 8080',
        ),
        (
            'service { name = "web" port = "http" }',
            '1:24: "service.port" is a string "http"; give a whole number, such as 8080',
        ),
        (
            'service { name = "web" port = true }',
            '1:24: "service.port" is a boolean; give a whole number, such as 8080',
        ),
        (web("meta { a = 1 }"), '1:44: "service.meta.a" is a number; give a string, such as "x"'),
        (
            web('enable_tag_override = "x"'),
            '1:37: "service.enable_tag_override" is a string "x"; give true or false',
        ),
        (
            web("check { interval = 5 }"),
            '1:45: "service.check.interval" is a number; give a duration in quotes, such as "10s"',
        ),
        (
            web("check {} check {}"),
            '1:46: "service.check" stands more than once (first in line 1); keep one',
        ),
        (
            'log_level = "loud"',
            '1:1: "log_level" is "loud"; use one of TRACE, DEBUG, INFO, WARN, ERR, ERROR',
        ),
        (
            'bind_addr = "{{ GetPrivateIP }}"',
            '1:1: "bind_addr" is "{{ GetPrivateIP }}", no IP address;'
            " templates are not evaluated here; give one",
        ),
        ('bind_addr = "localhost"', '1:1: "bind_addr" is "localhost", no IP address; give one'),
        ('check { ttl = "5s" }', '1:1: "check" has no name; a check outside of a service needs one'),
        (
            web('connect { proxy { exec_mode = "script" } }'),
            '1:55: "service.connect.proxy.exec_mode" is "script"; the only one is "daemon": leave it out',
        ),
        (
            web("connect { proxy { command = [] } }"),
            '1:55: "service.connect.proxy.command" is []: no program; give one, or leave the key out',
        ),
        (
            web('connect { proxy { command = "/bin/x -y" } }'),
            '1:55: "service.connect.proxy.command" is the string "/bin/x -y";'
            ' give a list: ["/usr/bin/my-proxy", "-flag"]',
        ),
        (
            web('connect { proxy { command = ["x", "y"] backend = "envoy" } }'),
            '1:47: "service.connect.proxy" has the command ["x", "y"] and the backend "envoy";'
            " keep one: a command is run by custom_exec",
        ),
        (
            'connect { proxy_defaults { command = ["x"] backend = "envoy" } }',
            '1:11: "connect.proxy_defaults" has the command ["x"] and the backend "envoy";'
            " keep one: a command is run by custom_exec",
        ),
        (
            web('connect { sidecar_service { command = ["x"] backend = "envoy" } }'),
            '1:47: "service.connect.sidecar_service" has the command ["x"] and the backend "envoy";'
            " keep one: a command is run by custom_exec",
        ),
        (
            web('connect { sidecar_service { id = "x" } }'),
            '1:65: "service.connect.sidecar_service.id": leave it out; a sidecar\'s id is that of its'
            " service with -sidecar-proxy",
        ),
        (
            web("connect { sidecar_service { connect { sidecar_service {} } } }"),
            '1:65: "service.connect.sidecar_service.connect": a sidecar has no proxy'
            " of its own; leave it out",
        ),
        (
            web("connect { native = true proxy {} }"),
            '1:1: "service": a service that is native to Connect has no proxy; keep one',
        ),
        (
            web("connect { proxy { upstreams { local_bind_port = 1 } } }"),
            '1:55: "service.connect.proxy.upstreams[0]" has no destination_name;'
            " name the service it leads to",
        ),
        (
            web('connect { proxy { upstreams { destination_name = "a" destination_type = "x" } } }'),
            '1:90: "service.connect.proxy.upstreams[0].destination_type" is "x";'
            " use service or prepared_query",
        ),
        (
            web(
                'connect { proxy { upstreams { destination_name = "a" datacenter = "x"'
                ' destination_datacenter = "y" } } }'
            ),
            '1:55: "service.connect.proxy.upstreams[0]" has datacenter "x"'
            ' and destination_datacenter "y"; keep one',
        ),
        (
            web('proxy_destination = "a"'),
            '1:1: "service" has a proxy_destination: give kind = "connect-proxy" too',
        ),
        (
            'service { name = "p" kind = "connect-proxy" proxy { destination_service_name = "a" } }',
            '1:1: "service" has no port; others find a proxy by its port',
        ),
        (
            'service { name = "p" kind = "connect-proxy" port = 1 }',
            '1:1: "service" does not say for whom: give proxy { destination_service_name = "…" }',
        ),
        (
            'service { name = "p" kind = "connect-proxy" port = 1 proxy_destination = "a"'
            " connect { proxy {} } }",
            '1:1: "service" is a proxy itself; it has no connect.proxy',
        ),
        (
            'service { name = "p" kind = "connect-proxy" port = 1 proxy_destination = "a"'
            ' proxy { destination_service_name = "b" } }',
            '1:1: "service" stands for "b" and, by proxy_destination, for "a"; keep one',
        ),
    ],
)
def test_a_problem_names_place_key_and_value(text: str, said: str) -> None:
    assert problems(text) == (f"0.hcl:{said}",)


def test_an_unknown_key_names_the_nearest_and_all_known_ones() -> None:
    assert problems(web("connect {\n proxy { backnd = 1 }\n}")) == (
        '0.hcl:2:10: unknown key "backnd" in "service.connect.proxy"; did you mean "backend"?'
        " (known: backend, command, config, exec_mode, upstreams)",
    )


def test_an_unknown_key_of_the_agent_is_told_too() -> None:
    (problem,) = problems("nonsense = 1")
    assert problem.startswith('0.hcl:1:1: unknown key "nonsense" (known: acl, ')


def test_every_problem_of_a_file_is_told_at_once() -> None:
    found = problems('service {\n}\nservice {\n  nme = "x"\n}\nlog_level = 1')
    assert [problem.split(": ")[0] for problem in found] == [
        "0.hcl:3:1",
        "0.hcl:1:1",
        "0.hcl:4:3",
        "0.hcl:3:1",
        "0.hcl:6:1",
    ]


# ---------------------------------------------------------------- any value anywhere

NAMES = ["service", "services", "check", "checks", "connect", "ports", "acl", "tokens", "agent", "data_dir"]
NAMES += [
    "log_level",
    "proxy",
    "proxy_defaults",
    "sidecar_service",
    "config",
    "upstreams",
    "command",
    "backend",
]
NAMES += ["exec_mode", "name", "port", "kind", "destination_name", "tags", "meta", "proxy_destination", "x"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "connect-proxy", "5", "x"])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=30,
)


@given(value=st.dictionaries(st.sampled_from(NAMES), ANY, max_size=5))
def test_any_value_behind_any_key_is_read_or_is_a_problem(value: Any) -> None:
    table = parse_json(
        json.dumps(value).replace("NaN", "0").replace("-Infinity", "0").replace("Infinity", "0")
    )
    try:
        said: tuple[str, ...] = configuration([read_table(table, "x.json")]).warnings
    except AgentConfigurationError as exc:
        said = exc.problems or ("nothing is said to be wrong",)
    assert [line for line in said if "x.json:" not in line] == []
