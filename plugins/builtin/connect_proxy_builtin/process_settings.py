"""What the registration says of the process as a whole; read once, at the start. Pure."""

from __future__ import annotations

from typing import Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.registration import Registration
from connect_proxy_builtin import config_values
from connect_proxy_builtin.policy import SocketAddress, address_of

MOST_WORKERS: Final = 64


def worker_count(registration: Registration) -> int:
    """How many data workers share the listeners (``workers``)."""
    where = f"proxy {registration.id!r}"
    wanted = config_values.count(registration.config, "workers", where=where, default=1)
    if wanted > MOST_WORKERS:
        message = f"{where}: workers is {wanted}; give at most {MOST_WORKERS}"
        raise ConfigurationError(message)
    return max(1, wanted)


def status_address(registration: Registration) -> SocketAddress | None:
    """Where metrics and status are served (``status_address``); None: nowhere."""
    where = f"proxy {registration.id!r}"
    configured = config_values.text(registration.config, "status_address", where=where)
    return address_of(configured, f"{where}: status_address", mode=0o600) if configured else None
