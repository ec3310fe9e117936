"""Questions to answers, from the catalog. No sockets."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from connect_proxy.dev_agent.catalog import Catalog, Instance
from connect_proxy.dev_agent.dns.lookup import DOMAIN, Lookup, is_ours, parse_name
from connect_proxy.dev_agent.prepared_queries import PreparedQueries, run_query
from connect_proxy.dev_agent.records import CRITICAL, WARNING, worst
from connect_proxy.errors import ApiError

A: Final = dns.rdatatype.A
AAAA: Final = dns.rdatatype.AAAA
ANY: Final = dns.rdatatype.ANY
CNAME: Final = dns.rdatatype.CNAME
NS: Final = dns.rdatatype.NS
PTR: Final = dns.rdatatype.PTR
SOA: Final = dns.rdatatype.SOA
SRV: Final = dns.rdatatype.SRV
TXT: Final = dns.rdatatype.TXT
_TTL: Final = 0
_log = logging.getLogger("connect_proxy.dev_agent.dns")
_APEX: Final = dns.name.from_text(f"{DOMAIN}.")
_REVERSE: Final = (dns.reversename.ipv4_reverse_domain, dns.reversename.ipv6_reverse_domain)


@dataclass(slots=True)
class Resolver:
    """Answers from the catalog of one agent."""

    catalog: Catalog
    queries: PreparedQueries

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """The response to *query*. Names outside the domain are refused: there is no recursor.

        What is registered under names that DNS cannot carry ends as a server failure.
        """
        try:
            return self._answer(query)
        except (dns.exception.DNSException, ValueError) as exc:
            _log.warning("no DNS answer can be made: %s", exc)
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.SERVFAIL)
            return response

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        if not isinstance(query, dns.message.QueryMessage) or len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        question = query.question[0]
        name, kind = question.name, question.rdtype
        if name.is_subdomain(_REVERSE[0]) or name.is_subdomain(_REVERSE[1]):
            return _filled(response, self._reverse(name))
        labels = tuple(label.decode("ascii", "replace").lower() for label in name.labels if label)
        if not is_ours(labels):
            response.set_rcode(dns.rcode.REFUSED)
            return response
        if kind in {SOA, NS}:
            return _filled(response, self._apex(kind))
        lookup = parse_name(labels)
        found = None if lookup is None else self._find(lookup, name, kind)
        return _filled(response, found)

    def _find(self, lookup: Lookup, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Found | None:
        node = self.catalog.node
        if lookup.datacenter and lookup.datacenter != node.datacenter.lower():
            return None
        match lookup.kind:
            case "node":
                return self._node(name, kind) if lookup.name == node.name.lower() else None
            case "addr":
                return _address(lookup.name, name, kind)
            case "service" | "connect" | "query":
                instances = self._instances(lookup)
                return self._services(instances, name, kind) if instances else None
        return None

    def _instances(self, lookup: Lookup) -> list[Instance]:
        """The instances without a critical check, in random order."""
        if lookup.kind == "query":
            try:
                return run_query(self.queries.resolve(lookup.name), self.catalog, connect=False)
            except ApiError:
                return []
        names = {
            service.connect_name if lookup.kind == "connect" else service.name
            for service in self.catalog.services()
        }
        find = self.catalog.connect_instances if lookup.kind == "connect" else self.catalog.instances
        found = [
            instance
            for name in sorted(names)
            if name.lower() == lookup.name
            for instance in find(name)
            if worst(instance.checks) != CRITICAL and _is_tagged(instance, lookup.tag)
        ]
        random.shuffle(found)
        return found

    def _services(
        self, instances: Sequence[Instance], name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> _Found:
        found = _Found()
        node = self.catalog.node
        for instance in instances:
            address = instance.service.address or node.address
            if kind == SRV:
                self._service_record(found, instance, name, address)
            else:
                found.answer += _address_records(name, address, kind)
        if kind == SRV:
            found.additional += self._meta(self._node_name(), found.additional)
        return found

    def _service_record(self, found: _Found, instance: Instance, name: dns.name.Name, address: str) -> None:
        service = instance.service
        target = self._node_name()
        if service.address and service.address != self.catalog.node.address:
            target = self._address_name(address)
        weights = service.weights
        weight = weights.warning if worst(instance.checks) == WARNING else weights.passing
        found.answer.append(_record(name, SRV, f"1 {weight} {max(service.port, 0)} {target.to_text()}"))
        for record in _address_records(target, address, ANY):
            if record.rdtype != CNAME and record not in found.additional:
                found.additional.append(record)

    def _node(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Found:
        found = _Found(answer=_address_records(name, self.catalog.node.address, kind))
        meta = self._meta(name, [])
        if kind in {TXT, ANY}:
            found.answer += meta
        else:
            found.additional += meta
        return found

    def _meta(self, name: dns.name.Name, present: Iterable[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
        """The node's metadata as TXT records."""
        records = [
            _record(name, TXT, _quoted(f"{key}={value}")) for key, value in self.catalog.node.meta.items()
        ]
        return [record for record in records if record not in present]

    def _apex(self, kind: dns.rdatatype.RdataType) -> _Found:
        server = self._node_name()
        servers = [_record(_APEX, NS, server.to_text())]
        addresses = _address_records(server, self.catalog.node.address, ANY)
        if kind == NS:
            return _Found(answer=servers, additional=addresses)
        return _Found(answer=[start_of_authority()], authority=servers, additional=addresses)

    def _reverse(self, name: dns.name.Name) -> _Found | None:
        """Whose address this is: the node's or a service's."""
        try:
            address = str(ip_address(dns.reversename.to_address(name)))
        except (ValueError, dns.exception.DNSException):
            return None
        if address == self.catalog.node.address:
            return _Found(answer=[_record(name, PTR, self._node_name().to_text())])
        for service in self.catalog.services():
            if service.address == address:
                return _Found(answer=[_record(name, PTR, f"{service.name}.service.{DOMAIN}.")])
        return None

    def _node_name(self) -> dns.name.Name:
        node = self.catalog.node
        return dns.name.from_text(f"{node.name}.node.{node.datacenter}.{DOMAIN}.")

    def _address_name(self, address: str) -> dns.name.Name:
        """The name of an address that is not the node's: its hex form, or the host name itself."""
        try:
            packed = ip_address(address).packed.hex()
        except ValueError:
            return dns.name.from_text(address)
        return dns.name.from_text(f"{packed}.addr.{self.catalog.node.datacenter}.{DOMAIN}.")


@dataclass(slots=True)
class _Found:
    """The sections of an answer. All empty: the name exists, but not with this type."""

    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    additional: list[dns.rrset.RRset] = field(default_factory=list)


def start_of_authority() -> dns.rrset.RRset:
    """The SOA that goes with "no such name"; its serial is the time, as in Consul."""
    return _record(_APEX, SOA, f"ns.{DOMAIN}. hostmaster.{DOMAIN}. {int(time.time())} 3600 600 86400 0")


def _filled(response: dns.message.Message, found: _Found | None) -> dns.message.Message:
    response.flags |= dns.flags.AA
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(start_of_authority())
        return response
    response.answer += _merged(found.answer)
    response.authority += found.authority
    response.additional += _merged(found.additional)
    if not found.answer and not found.additional:
        response.authority.append(start_of_authority())
    return response


def _merged(records: Sequence[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
    """Records of one name and type as one set, which drops repetitions."""
    merged: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
    for record in records:
        key = (record.name, record.rdtype)
        if key in merged:
            for rdata in record:
                merged[key].add(rdata)
        else:
            merged[key] = record
    return list(merged.values())


def _address(text: str, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Found | None:
    try:
        address = str(ip_address(bytes.fromhex(text)))
    except ValueError:
        return None
    return _Found(answer=_address_records(name, address, kind))


def _address_records(
    name: dns.name.Name, address: str, kind: dns.rdatatype.RdataType
) -> list[dns.rrset.RRset]:
    """A or AAAA as the address is; a host name becomes a CNAME. Nothing if *kind* is another type."""
    try:
        family = A if ip_address(address).version == 4 else AAAA
    except ValueError:
        return [_record(name, CNAME, address.rstrip(".") + ".")]
    return [_record(name, family, address)] if kind in {family, ANY} else []


def _record(name: dns.name.Name, kind: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, _TTL, dns.rdataclass.IN, kind, text)


def _is_tagged(instance: Instance, tag: str) -> bool:
    return not tag or tag in {each.lower() for each in instance.service.tags}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
