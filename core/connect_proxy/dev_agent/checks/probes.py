"""One look at a service, over TCP or HTTP: status and output, worded as Consul words them."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from connect_proxy.dev_agent.records import CRITICAL, PASSING, WARNING, CheckDefinition

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds, where the check names no ``Timeout``."""
_OUTPUT_LIMIT: Final = 4096
_TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    status: str
    output: str


async def probe(check: CheckDefinition) -> Result:
    """Run *check* once. Never raises: what goes wrong is a critical result."""
    timeout = check.timeout or min(DEFAULT_TIMEOUT, check.interval or DEFAULT_TIMEOUT)
    if check.tcp:
        return await _tcp(check.tcp, timeout)
    if check.http:
        return await asyncio.to_thread(_http, check, timeout)
    return Result(status=CRITICAL, output=f"checks of type {check.type!r} are not run by this agent")


async def _tcp(target: str, timeout: float) -> Result:
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host or "127.0.0.1", int(port))
    except TimeoutError:
        return Result(status=CRITICAL, output=f"dial tcp {target}: i/o timeout")
    except (OSError, ValueError, OverflowError) as exc:
        return Result(status=CRITICAL, output=f"dial tcp {target}: {_reason(exc)}")
    writer.close()
    return Result(status=PASSING, output=f"TCP connect {target}: Success")


def _http(check: CheckDefinition, timeout: float) -> Result:
    method = check.method or "GET"
    complaint = f'{method.title()} "{check.http}": '
    try:
        url = urlsplit(check.http)
        connection = _connection(check, url.scheme, url.hostname or "", url.port, timeout)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}
        headers |= {name: ", ".join(values) for name, values in check.header.items()}
        try:
            connection.request(method, path, body=check.body or None, headers=headers)
            response = connection.getresponse()
            body = response.read(_OUTPUT_LIMIT).decode("utf-8", "replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return Result(status=CRITICAL, output=complaint + _reason(exc))
    output = f"HTTP {method} {check.http}: {response.status} {response.reason} Output: {body}"
    return Result(status=_status_of(response.status), output=output)


def _connection(
    check: CheckDefinition, scheme: str, host: str, port: int | None, timeout: float
) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        if check.tls_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    if scheme != "http":
        message = f'unsupported protocol scheme "{scheme}"'
        raise ValueError(message)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _status_of(code: int) -> str:
    """2xx passes, 429 warns, everything else is critical (Consul's documentation of HTTP checks)."""
    if 200 <= code < 300:
        return PASSING
    return WARNING if code == _TOO_MANY_REQUESTS else CRITICAL


def _reason(exc: BaseException) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(exc, TimeoutError):
        return "i/o timeout"
    return str(exc) or type(exc).__name__
