"""Processes that an agent before us started: found again, or ended."""

from __future__ import annotations

import logging

from connect_proxy.managed.ending import end_process
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


async def end_left(record: ProxyRecord) -> None:
    """End what still runs of a proxy that no definition asks for any more."""
    process = adopt(record.process) if record.process else None
    if process is not None:
        log.info("%s: no definition asks for it any more: ending pid %d", record.id, process.pid)
        await end_process(process)
