import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.ca.leaves import RENEW_WINDOW, Leaves
from connect_proxy.dev_agent.changes import Changes, leaf_topic
from support.eventually import eventually

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOURS = timedelta(hours=1)


class Parts:
    def __init__(self, now: datetime = NOW) -> None:
        self.changes = Changes()
        self.authority = Authority(cluster_id="0526cf7f-x", changes=self.changes, now=now)
        self.leaves = Leaves(authority=self.authority, datacenter="dc1", changes=self.changes)

    def rotate(self, now: datetime = NOW) -> None:
        key = profile.key_pem(profile.new_key("ec", 256))
        self.authority.configure({"Provider": "consul", "Config": {"PrivateKey": key}}, now=now)


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_a_leaf_is_issued_once_and_kept(parts: Parts) -> None:
    assert not parts.leaves.holds("web", now=NOW)
    leaf = parts.leaves.current("web", now=NOW)
    assert parts.leaves.current("web", now=NOW + HOURS) is leaf
    assert parts.leaves.holds("web", now=NOW)
    assert leaf.uri == "spiffe://0526cf7f-x.consul/ns/default/dc/dc1/svc/web"
    assert parts.changes.index(leaf_topic("web")) == leaf.create_index


def test_every_service_has_a_leaf_key_and_serial_of_its_own(parts: Parts) -> None:
    web, db = (parts.leaves.current(name, now=NOW) for name in ("web", "db"))
    assert web.key_pem != db.key_pem
    assert (web.serial, db.serial) == ("08", "09")


def test_a_leaf_is_renewed_between_60_and_90_percent_of_its_life(parts: Parts) -> None:
    leaf = parts.leaves.current("web", now=NOW)
    part = (leaf.renew_at - leaf.valid_after) / (leaf.valid_before - leaf.valid_after)
    assert RENEW_WINDOW[0] <= part <= RENEW_WINDOW[1]
    parts.leaves.renew_due(now=leaf.renew_at - timedelta(seconds=1))
    assert parts.leaves.current("web", now=NOW) is leaf
    parts.leaves.renew_due(now=leaf.renew_at)
    renewed = parts.leaves.current("web", now=leaf.renew_at)
    assert renewed.serial != leaf.serial
    assert renewed.key_pem != leaf.key_pem
    assert renewed.create_index > leaf.create_index


def test_a_new_root_makes_new_leaves_that_the_old_root_vouches_for(parts: Parts) -> None:
    old_root = parts.authority.active.certificate
    leaf = parts.leaves.current("web", now=NOW)
    parts.rotate()
    parts.leaves.renew_due(now=NOW)
    renewed = parts.leaves.current("web", now=NOW)
    assert renewed.create_index > leaf.create_index
    certificate, crossed = x509.load_pem_x509_certificates(renewed.chain_pem.encode())
    certificate.verify_directly_issued_by(crossed)
    crossed.verify_directly_issued_by(old_root)


def test_the_configured_life_holds_for_the_next_leaf(parts: Parts) -> None:
    parts.authority.configure({"Provider": "consul", "Config": {"LeafCertTTL": "2h"}}, now=NOW)
    leaf = parts.leaves.current("web", now=NOW)
    assert leaf.valid_before - leaf.valid_after == 2 * HOURS


def test_the_next_renewal_is_the_earliest(parts: Parts) -> None:
    assert parts.leaves.next_due() is None
    leaves = [parts.leaves.current(name, now=NOW) for name in ("a", "b", "c")]
    assert parts.leaves.next_due() == min(leaf.renew_at for leaf in leaves)


def test_a_key_is_not_shown(parts: Parts) -> None:
    assert "PRIVATE KEY" not in repr(parts.leaves.current("web", now=NOW))


def test_the_renewer_follows_a_rotation_at_once_and_ends_on_close() -> None:
    async def run() -> None:
        parts = Parts(datetime.now(UTC))
        leaf = parts.leaves.current("web", now=datetime.now(UTC))
        renewer = asyncio.create_task(parts.leaves.run())
        await eventually(lambda: parts.changes.waiting == 1, "the renewer to wait")
        parts.rotate(datetime.now(UTC))
        topic = leaf_topic("web")
        await eventually(lambda: parts.changes.index(topic) > leaf.create_index, "a new leaf")
        parts.changes.close()
        await renewer

    asyncio.run(run())
