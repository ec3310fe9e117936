"""Processes that an agent before us started: found again, or ended."""

from __future__ import annotations

import dataclasses
import logging

from connect_proxy.managed.ending import end_process
from connect_proxy.managed.predecessor import Predecessor, found_beside
from connect_proxy.managed.state_file import ProxyRecord
from connect_proxy.supervisor.adopted import AdoptedProcess, adopt
from connect_proxy.supervisor.identity import executable_of

log = logging.getLogger("connect_proxy.managed")


def found_again(record: ProxyRecord) -> AdoptedProcess | None:
    """The very process of *record*, if it still runs."""
    if record.process is None:
        return None
    process = adopt(record.process)
    if process is None:
        log.info("%s: pid %d is gone or another's", record.id, record.process.pid)
    else:
        executable = executable_of(process.pid)
        log.info("%s: found again with pid %d (%s)", record.id, process.pid, executable)
    return process


def found(
    record: ProxyRecord, *, alone: bool
) -> tuple[ProxyRecord, AdoptedProcess | None, Predecessor | None]:
    """What still runs of *record*: its process, and the one before it where an agent ended in the midst of
    an exchange. *alone*: no new one can be started now, so the one that runs is the newest."""
    adopted = found_again(record)
    before = record.predecessor
    if adopted is None and alone and before is not None:
        # Of an unknown definition, so that it is exchanged as soon as that can be.
        record = dataclasses.replace(
            record, process=before.process, started_at=before.started_at, fingerprint="", predecessor=None
        )
        return record, found_again(record), None
    former = found_beside(before)
    if former is not None:
        log.info("%s: pid %d, the one before it, is still there", record.id, former.pid)
        return record, adopted, former
    return dataclasses.replace(record, predecessor=None), adopted, None


async def end_left(record: ProxyRecord) -> None:
    """End what still runs of a proxy that no definition asks for any more."""
    identities = (record.process, record.predecessor.process if record.predecessor else None)
    for process in [adopt(identity) for identity in identities if identity]:
        if process is not None:
            log.info("%s: no definition asks for it any more: ending pid %d", record.id, process.pid)
            await end_process(process)
