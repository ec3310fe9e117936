"""THE table of endpoints: method, path, handler.

``{name}`` in a path takes the rest of it, slashes included, unless another word follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connect_proxy.dev_agent.http.call import Handler
from connect_proxy.dev_agent.http.handlers import (
    acl,
    agent,
    agent_self,
    catalog,
    checks,
    connect,
    health,
    intentions,
    maintenance,
    query,
    status,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    handler: Handler

    @property
    def writes(self) -> bool:
        """Whether it may change what is kept. ``authorize`` is a question with a body."""
        return self.method != "GET" and self.handler is not connect.authorize


ENDPOINTS: Final = (
    Endpoint("GET", "/v1/agent/self", agent_self.agent_self),
    Endpoint("GET", "/v1/agent/members", agent_self.members),
    Endpoint("GET", "/v1/agent/services", agent.services),
    Endpoint("PUT", "/v1/agent/service/register", agent.register),
    Endpoint("PUT", "/v1/agent/service/deregister/{id}", agent.deregister),
    Endpoint("PUT", "/v1/agent/service/maintenance/{id}", maintenance.service),
    Endpoint("GET", "/v1/agent/service/{id}", agent.service),
    Endpoint("PUT", "/v1/agent/maintenance", maintenance.node),
    Endpoint("GET", "/v1/agent/health/service/id/{id}", agent.health_by_id),
    Endpoint("GET", "/v1/agent/health/service/name/{name}", agent.health_by_name),
    Endpoint("GET", "/v1/agent/checks", checks.checks),
    Endpoint("PUT", "/v1/agent/check/register", checks.register),
    Endpoint("PUT", "/v1/agent/check/deregister/{id}", checks.deregister),
    Endpoint("PUT", "/v1/agent/check/pass/{id}", checks.passing),
    Endpoint("PUT", "/v1/agent/check/warn/{id}", checks.warning),
    Endpoint("PUT", "/v1/agent/check/fail/{id}", checks.critical),
    Endpoint("PUT", "/v1/agent/check/update/{id}", checks.update),
    Endpoint("GET", "/v1/agent/connect/ca/roots", connect.agent_roots),
    Endpoint("GET", "/v1/agent/connect/ca/leaf/{service}", connect.leaf),
    Endpoint("POST", "/v1/agent/connect/authorize", connect.authorize),
    Endpoint("GET", "/v1/connect/ca/roots", connect.roots),
    Endpoint("GET", "/v1/connect/ca/configuration", connect.configuration),
    Endpoint("PUT", "/v1/connect/ca/configuration", connect.configure),
    Endpoint("GET", "/v1/connect/intentions", intentions.intentions),
    Endpoint("POST", "/v1/connect/intentions", intentions.create),
    Endpoint("GET", "/v1/connect/intentions/match", intentions.match),
    Endpoint("GET", "/v1/connect/intentions/check", intentions.check),
    Endpoint("GET", "/v1/connect/intentions/exact", intentions.exact),
    Endpoint("PUT", "/v1/connect/intentions/exact", intentions.exact),
    Endpoint("DELETE", "/v1/connect/intentions/exact", intentions.exact),
    Endpoint("GET", "/v1/connect/intentions/{id}", intentions.intention),
    Endpoint("PUT", "/v1/connect/intentions/{id}", intentions.update),
    Endpoint("DELETE", "/v1/connect/intentions/{id}", intentions.delete),
    Endpoint("GET", "/v1/catalog/datacenters", catalog.datacenters),
    Endpoint("GET", "/v1/catalog/nodes", catalog.nodes),
    Endpoint("GET", "/v1/catalog/services", catalog.services),
    Endpoint("GET", "/v1/catalog/service/{name}", catalog.service),
    Endpoint("GET", "/v1/catalog/connect/{name}", catalog.connect),
    Endpoint("GET", "/v1/catalog/node/{name}", catalog.node),
    Endpoint("GET", "/v1/catalog/node-services/{name}", catalog.node_services),
    Endpoint("GET", "/v1/health/service/{name}", health.service),
    Endpoint("GET", "/v1/health/connect/{name}", health.connect),
    Endpoint("GET", "/v1/health/checks/{name}", health.checks),
    Endpoint("GET", "/v1/health/node/{name}", health.node),
    Endpoint("GET", "/v1/health/state/{state}", health.state),
    Endpoint("GET", "/v1/query", query.queries),
    Endpoint("POST", "/v1/query", query.create),
    Endpoint("GET", "/v1/query/{id}/execute", query.execute),
    Endpoint("GET", "/v1/query/{id}/explain", query.explain),
    Endpoint("GET", "/v1/query/{id}", query.query),
    Endpoint("PUT", "/v1/query/{id}", query.update),
    Endpoint("DELETE", "/v1/query/{id}", query.delete),
    Endpoint("GET", "/v1/status/leader", status.leader),
    Endpoint("GET", "/v1/status/peers", status.peers),
    *(
        Endpoint(method, f"/v1/acl/{word}", acl.disabled)
        for word, methods in {
            "bootstrap": ("PUT",),
            "login": ("POST",),
            "logout": ("POST",),
            "policies": ("GET",),
            "policy": ("PUT",),
            "policy/{id}": ("GET", "PUT", "DELETE"),
            "replication": ("GET",),
            "roles": ("GET",),
            "role": ("PUT",),
            "role/{id}": ("GET", "PUT", "DELETE"),
            "token": ("PUT",),
            "token/{id}": ("GET", "PUT", "DELETE"),
            "tokens": ("GET",),
        }.items()
        for method in methods
    ),
)
