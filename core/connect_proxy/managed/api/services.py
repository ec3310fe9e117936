"""Services with managed proxies that were registered over the agent's HTTP API: kept beside the files'.

They outlive the agent in ``<data_dir>/proxy/services.json``, as the request had them but for ACL tokens,
which stand in no file: after a restart the agent registers such a service with its own token.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.errors import AgentConfigurationError, MalformedDocumentError
from connect_proxy.managed.definitions.clashes import clashes
from connect_proxy.managed.definitions.configuration import AgentConfiguration, ServiceDefinition
from connect_proxy.managed.definitions.document import Field, Place
from connect_proxy.managed.definitions.hcl import parse_json
from connect_proxy.managed.definitions.reading import MISSING, Reading, canonical
from connect_proxy.managed.definitions.service_decoding import service
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.secret import NO_SECRET, Secret

log = logging.getLogger("connect_proxy.managed")

ORIGIN: Final = "registration by the HTTP API"
HOLD_TOKENS: Final = frozenset({"connect", "sidecarservice", "check", "checks"})
"""Parts of a registration where ``Token`` is an ACL token; elsewhere a key of that name is the user's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiService:
    """One registration: what it means, and what of it may stand on disk."""

    definition: ServiceDefinition
    document: Mapping[str, Any]
    """The request's body without ACL tokens."""


class ApiServices:
    """Those of one agent. What the files define under the same id comes first."""

    def __init__(self, directory: DataDirectory | None) -> None:
        """What an earlier agent left there; nothing, and nothing is kept, without a data directory.

        Raises ConfigurationError for a file that is none of ours.
        """
        self._directory = directory
        self._by_id: dict[str, ApiService] = {}
        for document in directory.services() if directory else ():
            try:
                one = decoded(json.dumps(document))
            except AgentConfigurationError as exc:
                log.error("a service that was registered by the API is left out: %s", exc)
            else:
                self._by_id[one.definition.id] = one

    def find(self, service_id: str) -> ApiService | None:
        return self._by_id.get(service_id)

    def put(self, one: ApiService) -> None:
        """Keep it; it is on disk when this returns."""
        self._by_id[one.definition.id] = one
        self._write()

    def discard(self, service_id: str) -> bool:
        """Forget it; whether it was there."""
        known = self._by_id.pop(service_id, None) is not None
        if known:
            self._write()
        return known

    def forget_defined(self, configuration: AgentConfiguration) -> None:
        """Forget what the files define by now."""
        for one in configuration.services:
            if self.discard(one.id):
                log.warning(
                    "service '%s' is defined in %s: its registration by the API is forgotten",
                    one.id,
                    one.origin,
                )

    def over(self, configuration: AgentConfiguration, *, but: str = "") -> AgentConfiguration:
        """*configuration* with these services, except *but*. One that clashes with the files is left out,
        which is logged."""
        defined = {but, *(one.id for one in configuration.services)}
        added = tuple(one.definition for name, one in self._by_id.items() if name not in defined)
        whole = with_services(configuration, added)
        if not added or not clashes(whole):
            return whole
        kept = configuration
        for definition in added:
            attempt = with_services(kept, (definition,))
            if problems := clashes(attempt):
                log.warning(
                    "service '%s', registered by the API, is left out: %s", definition.id, problems[0]
                )
            else:
                kept = attempt
        return kept

    def _write(self) -> None:
        if self._directory is not None:
            self._directory.write_services([one.document for one in self._by_id.values()])


def with_services(
    configuration: AgentConfiguration, services: tuple[ServiceDefinition, ...]
) -> AgentConfiguration:
    """The same with *services* after its own."""
    return dataclasses.replace(configuration, services=(*configuration.services, *services))


def decoded(body: str, *, token: Secret = NO_SECRET) -> ApiService:
    """What the body of ``PUT /v1/agent/service/register`` asks for.

    *token*: what the request showed; Consul registers a service with that, whatever its body says.
    Raises AgentConfigurationError with every problem.
    """
    reading = Reading(file=ORIGIN)
    try:
        table = parse_json(body)
    except MalformedDocumentError as exc:
        raise AgentConfigurationError([f"{ORIGIN}:{exc.line}:{exc.column}: {exc}"]) from exc
    definition = service(reading, Field(value=table, place=Place(line=1, column=1)), "service")
    if reading.problems or definition is MISSING:
        raise AgentConfigurationError(reading.problems)
    definition = dataclasses.replace(definition, token=token, from_api=True)
    return ApiService(definition=definition, document=_without_tokens(json.loads(body)))


def _without_tokens(value: Any) -> Any:
    """As it stands, but for the ACL tokens of the service, its sidecar and its checks."""
    if isinstance(value, list):
        return [_without_tokens(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_tokens(item) if canonical(key) in HOLD_TOKENS else item
        for key, item in value.items()
        if canonical(key) != "token"
    }
