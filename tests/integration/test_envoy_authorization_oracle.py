"""What we tell Envoy about intentions, against Consul's own ``authorize`` as the oracle."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.mesh.intentions import Intention
from connect_proxy_envoy.resources.admission import admitted
from connect_proxy_envoy.resources.rbac import rbac_rules
from support.intention_sets import decides
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

NAMES = ["api", "a.i", "a-i", "batch", "*"]
CALLERS = [*NAMES[:-1], "stranger"]
ROUNDS = 12


@pytest.mark.parametrize("acl", [False, True], ids=["default-allow", "default-deny"])
def test_random_intentions_are_decided_as_consul_decides_them(tmp_path: Path, acl: bool) -> None:
    chance = random.Random(20)
    with RealConsul(folder=tmp_path, acl=acl) as consul:
        trust_domain = consul.api.get("/v1/agent/connect/ca/roots").json["TrustDomain"]
        for _ in range(ROUNDS):
            intentions = _chosen(chance)
            for rule in intentions:
                action = "allow" if rule.allow else "deny"
                consul.api.set_intention(rule.source_name, rule.destination_name, action)
            rules = rbac_rules(intentions, default_allow=not acl, trust_domain=trust_domain)
            patterns = admitted(intentions, default_allow=not acl, trust_domain=trust_domain)
            for caller in CALLERS:
                uri = f"spiffe://{trust_domain}/ns/default/dc/dc1/svc/{caller}"
                ours = decides(rules, uri)
                # The agent decides from a cache, which follows a changed intention a moment later.
                _wait_for_decision(consul, uri, ours, f"{ours} for {caller} by {intentions}")
                taken = patterns is None or any(re.fullmatch(pattern, uri) for pattern in patterns)
                assert taken is ours, (caller, intentions)
            consul.api.clear_intentions()


def _chosen(chance: random.Random) -> list[Intention]:
    pairs = [(source, destination) for source in NAMES for destination in ("web", "*")]
    return [
        Intention(source_name=source, destination_name=destination, allow=chance.random() < 0.5)
        for source, destination in chance.sample(pairs, chance.randint(0, 7))
    ]


def _wait_for_decision(consul: RealConsul, uri: str, wanted: bool, what: str) -> None:
    wait_until(lambda: _authorized(consul, uri) is wanted, what)


def _authorized(consul: RealConsul, uri: str) -> bool:
    body: dict[str, Any] = {"Target": "web", "ClientCertURI": uri, "ClientCertSerial": "01"}
    answer = consul.api.post("/v1/agent/connect/authorize", body)
    assert answer.status == 200, answer.text
    return bool(answer.json["Authorized"])
