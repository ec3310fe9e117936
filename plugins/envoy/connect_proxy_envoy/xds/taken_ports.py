"""Whether Envoy will be able to listen, asked before it is started.

Envoy itself refuses such a listener, stays up without it and calls itself ready.
"""

from __future__ import annotations

import errno

from connect_proxy.errors import PortInUseError
from connect_proxy_envoy.address import SocketAddress
from connect_proxy_envoy.admin_address import bound_socket, listening_socket
from connect_proxy_envoy.port_owner import port_owner
from connect_proxy_envoy.resources.resource import ResourceSet
from connect_proxy_envoy.resources.type_urls import LISTENER


def check_listeners_free(resources: ResourceSet, *, share: bool = False) -> None:
    """Raises PortInUseError for the first listener whose TCP port somebody else has. *share*: the process
    before this one may have it, and share it."""
    for listener in resources.of_type(LISTENER).values():
        place = listener.body.get("address", {}).get("socketAddress")
        if place is None:
            continue
        address = SocketAddress(host=place["address"], port=place["portValue"])
        try:
            # One that listened beside another would be sent connections, if only for a moment.
            (bound_socket(address, share=True) if share else listening_socket(address)).close()
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                continue  # an address that this machine does not have: Envoy's own words are as good
            owner = port_owner(address.port)
            taken = f"{listener.name}: {str(address)!r} is in use" + (f" by {owner}" if owner else "")
            message = f"{taken}; stop what listens there or choose another port"
            raise PortInUseError(message) from exc
