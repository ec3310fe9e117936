"""A proxy that registers itself, against an agent of a few lines."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from connect_proxy.consul.client import Answer, ConsulClient
from connect_proxy.errors import AgentAnswerError, AgentUnreachableError, NotFoundError
from connect_proxy.mesh.registration import Registration
from connect_proxy.proxy_run.self_registration import SelfRegistration

DEFINITION = {"ID": "web-proxy", "Name": "web-proxy", "Address": "", "Port": 8443}


class Agent:
    """Remembers what it was asked; loses the registration when told to."""

    def __init__(self) -> None:
        self.registered: Mapping[str, Any] | None = None
        self.registrations = 0
        self.checks: list[str] = []
        self.away = 0

    async def service(self, service_id: str) -> Answer[Registration]:
        self._reached()
        if self.registered is None:
            raise NotFoundError("unknown", status=404)
        port = int(self.registered["Port"])
        return Answer(value=Registration(id=service_id, name=service_id, port=port))

    async def register_service(self, definition: Mapping[str, Any]) -> None:
        self._reached()
        self.registered = definition
        self.registrations += 1

    async def update_check(self, _check_id: str, *, status: str, output: str = "") -> None:
        self._reached()
        if self.registered is None:
            raise AgentAnswerError("CheckID does not have associated TTL", status=500)
        self.checks.append(status)

    async def deregister_service(self, _service_id: str) -> None:
        self._reached()
        self.registered = None

    def _reached(self) -> None:
        if self.away:
            self.away -= 1
            raise AgentUnreachableError("away")


class Steps:
    """Sleeps that end the loop after so many, and do something on the way."""

    def __init__(self, *doing: Any) -> None:
        self._doing = list(doing)
        self.slept: list[float] = []

    def allow(self, more: int) -> None:
        self._doing += [None] * more

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._doing:
            raise asyncio.CancelledError
        step = self._doing.pop(0)
        if step is not None:
            step()


def keep(agent: Agent, steps: Steps, *, ready: list[bool] | None = None) -> SelfRegistration:
    answers = ready or []

    async def is_ready() -> bool:
        return answers.pop(0) if answers else True

    own = SelfRegistration(cast("ConsulClient", agent), DEFINITION, is_ready=is_ready, sleep=steps)

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await own.keep()

    asyncio.run(run())
    return own


def test_it_registers_with_a_ttl_check_and_sends_heartbeats() -> None:
    agent = Agent()
    keep(agent, Steps(None, None))
    assert agent.registered is not None
    check = {"CheckID": "web-proxy-ttl", "Name": "proxy heartbeat", "TTL": "30s"}
    assert agent.registered["Check"] == check
    assert agent.checks == ["passing"] * 3
    assert agent.registrations == 1


def test_the_check_passes_only_while_the_proxy_is_ready() -> None:
    agent, steps = Agent(), Steps(None, None)
    keep(agent, steps, ready=[False, True, False])
    assert agent.checks == ["critical", "passing", "critical"]
    assert steps.slept[0] < 1 < steps.slept[1]


def test_a_registration_that_consul_lost_is_put_back() -> None:
    agent = Agent()
    keep(agent, Steps(lambda: setattr(agent, "registered", None), None, None))
    assert agent.registered is not None
    assert agent.registrations == 2


def test_a_registration_that_others_changed_is_put_back_within_half_a_minute() -> None:
    agent, steps = Agent(), Steps()
    steps = Steps(lambda: setattr(agent, "registered", {**DEFINITION, "Port": 1}), None, None, None)
    keep(agent, steps)
    assert agent.registered is not None
    assert agent.registered["Port"] == 8443
    assert sum(steps.slept) <= 60


def test_an_agent_that_is_away_is_asked_again() -> None:
    agent = Agent()
    agent.away = 2
    keep(agent, Steps(None, None, None))
    assert agent.registered is not None


def test_the_end_deregisters_in_a_few_tries() -> None:
    agent = Agent()
    steps = Steps()
    own = keep(agent, steps)
    steps.allow(4)
    agent.away = 2
    asyncio.run(own.withdraw())
    assert agent.registered is None
    agent.away = 99
    asyncio.run(own.withdraw())
    assert agent.away == 96
