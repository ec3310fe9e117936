"""What can be seen and done from the state file while no agent runs."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from connect_proxy.errors import AgentNotRunningError, UnknownProxyError
from connect_proxy.managed.ending import end_process
from connect_proxy.managed.state_file import DataDirectory, ProxyRecord, Records
from connect_proxy.supervisor.adopted import adopt
from connect_proxy.supervisor.identity import lives


def left_by_the_last_agent(directory: DataDirectory) -> Records:
    """What it wrote down. Raises AgentNotRunningError where none ever did, which is no empty list: the
    proxies may be in another directory."""
    records = directory.read()
    if not records and not directory.state_path.exists():
        message = (
            f"no agent runs on '{directory.path}', and none left its state there; give its own -data-dir"
        )
        raise AgentNotRunningError(message)
    return records


def status(directory: DataDirectory) -> list[dict[str, Any]]:
    """As ``status -format json`` of a running agent, from what it wrote last and what lives now. Raises
    AgentNotRunningError where there never was one."""
    now = time.time()
    return [_row(record, now) for _, record in sorted(left_by_the_last_agent(directory).items())]


def _row(record: ProxyRecord, now: float) -> dict[str, Any]:
    before = record.predecessor.process if record.predecessor else None
    living = [one for one in (record.process, before) if one is not None and lives(one)]
    alive = bool(living)
    return {
        "id": record.id,
        "service": record.service_id,
        "backend": record.backend,
        "state": "unsupervised" if alive else "held" if record.held else "stopped",
        "pid": living[0].pid if living else None,
        "port": record.port,
        "uptime_s": round(now - record.started_at, 1) if alive and record.started_at else 0.0,
        "restarts": record.restarts,
        "last_exit": record.last_exit,
        "last_error": record.last_error,
        "certificate_expiry": None,
        "upstreams": [],
        "beside": living[1].pid if len(living) > 1 else None,
    }


def known(records: Records, proxy_id: str) -> str:
    """*proxy_id*, if there is such a proxy. Raises UnknownProxyError."""
    if proxy_id not in records:
        ids = ", ".join(sorted(records)) or "none"
        message = f"no managed proxy has the id '{proxy_id}'; there are {ids}"
        raise UnknownProxyError(message)
    return proxy_id


def stop(directory: DataDirectory, proxy_id: str) -> None:
    """End that proxy and remember that it is to stay so. The directory's lock must be held."""
    records = dict(directory.read())
    record = records[known(records, proxy_id)]
    before = record.predecessor.process if record.predecessor else None
    for process in [adopt(one) for one in (record.process, before) if one is not None]:
        if process is not None:
            asyncio.run(end_process(process))
    records[proxy_id] = dataclasses.replace(
        record, process=None, predecessor=None, started_at=0.0, held=True
    )
    directory.write(records)
