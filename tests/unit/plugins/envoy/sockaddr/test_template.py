"""Address templates: what Consul 1.8.7 gave for the same addresses, and what is refused."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy_envoy.sockaddr.filters import TemplateError
from connect_proxy_envoy.sockaddr.interfaces import InterfaceAddress
from connect_proxy_envoy.sockaddr.template import rendered


def _address(name: str, ip: str, *, up: bool = True) -> InterfaceAddress:
    return InterfaceAddress(
        name=name, ip=ipaddress.ip_interface(ip), is_up=up, on_default_route=name == "eth0"
    )


HOST = (
    _address("lo", "127.0.0.1/8"),
    _address("lo", "::1/128"),
    _address("eth0", "10.1.2.3/24"),
    _address("eth0", "fd00::2/64"),
    _address("eth0", "fe80::1/64"),
    _address("eth1", "8.8.4.4/16"),
    _address("eth2", "172.16.0.9/12", up=False),
)
ALL = "{{ GetAllInterfaces | "


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:8443", "10.0.0.1:8443"),
        ("{{ GetPrivateIP }}:8443", "10.1.2.3:8443"),
        ("{{GetPrivateIP}}", "10.1.2.3"),
        ("{{- GetPublicIP -}}:8443", "8.8.4.4:8443"),
        ("{{ GetPrivateIPs }}", "10.1.2.3 fd00::2"),
        ("{{ GetPublicIPs }}", "8.8.4.4"),
        ('{{ GetInterfaceIP "eth0" }}', "10.1.2.3"),
        ("{{ GetInterfaceIP `eth[12]` }}", "172.16.0.9"),
        ('{{ GetInterfaceIPs "eth0" }}', "10.1.2.3 fd00::2 fe80::1"),
        ('{{ GetDefaultInterfaces | join "address" "," }}', "10.1.2.3,fd00::2,fe80::1"),
        ('{{ GetPrivateInterfaces | include "type" "IPv6" | attr "address" }}', "fd00::2"),
        ('{{ GetPublicInterfaces | attr "Address" }}', "8.8.4.4"),
        (ALL + 'include "type" "IPv6" | attr "address" }}:8443', "[::1]:8443"),
        (ALL + 'include "network" "10.0.0.0/8|8.0.0.0/8" | join "address" "," }}', "10.1.2.3,8.8.4.4"),
        (ALL + 'include "rfc" "1918" | sort "-address" | attr "address" }}', "172.16.0.9"),
        (ALL + 'include "flags" "up|loopback" | join "address" "," }}', "127.0.0.1,::1"),
        (ALL + 'include "flag" "down" | attr "name" }}', "eth2"),
        (ALL + 'include "address" "^8" | attr "name" }}', "eth1"),
        (ALL + 'exclude "name" "lo|eth0" | limit 1 | attr "address" }}', "8.8.4.4"),
        (ALL + 'exclude "flags" "link-local unicast" | offset 4 | attr "address" }}', "8.8.4.4"),
        (
            ALL + 'sort "type,size" | join "address" "," }}',
            "127.0.0.1,172.16.0.9,8.8.4.4,10.1.2.3,fd00::2,fe80::1,::1",
        ),
    ],
)
def test_a_template_stands_for_what_it_finds(text: str, address: str) -> None:
    assert rendered(text, HOST) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{ GetPrivateIP", "not closed"),
        ("10.0.0.1}}", "not closed"),
        ("{{ }}", "empty action"),
        ("{{ GetAllInterfaces | | limit 1 }}", "nothing beside a '|'"),
        ("{{ GetTeapot }}", "begins with 'GetTeapot'; supported are GetAllInterfaces, "),
        ("{{ GetInterfaceIP }}", "gives 'GetInterfaceIP' 0 arguments; it takes 1"),
        ('{{ GetInterfaceIP "nope" }}:1', "finds no address"),
        ("{{ GetAllInterfaces }}", 'end it with | attr "address"'),
        (ALL + 'math "network" "+1" }}', "uses 'math' after a '|'"),
        (ALL + 'attr "address" | limit 1 }}', "after what is a text already"),
        (ALL + 'attr "mac" }}', "uses the attribute 'mac'; supported are address, name"),
        (ALL + 'include "port" "1" }}', "uses the selector 'port'"),
        (ALL + 'include "flags" "shiny" }}', "uses the flag 'shiny'"),
        (ALL + 'include "rfc" "1" }}', "uses the RFC '1'"),
        (ALL + 'include "type" "unix" }}', "uses the type 'unix'"),
        (ALL + 'include "network" "here" }}', "'here', which is no network"),
        (ALL + 'include "name" "(" }}', "no regular expression"),
        (ALL + 'include "name" }}', "gives 'include' 1 argument; it takes 2"),
        (ALL + 'sort "colour" }}', "uses the order 'colour'"),
        (ALL + 'limit "many" }}', "gives 'limit' 'many', not a number"),
        ("{{ with $x := GetAllInterfaces }}{{ end }}", "uses 'with'; only sources and filters"),
        ("{{ GetAllInterfaces . }}", "cannot be read at '.'"),
    ],
)
def test_what_is_not_understood_is_named(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(text, HOST)
    assert complaint in str(caught.value)


@given(st.text(alphabet='{} |"`$GetPrivateIPinclude1-', max_size=40))
def test_any_text_is_rendered_or_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        assert "{{" not in rendered(text, HOST)
