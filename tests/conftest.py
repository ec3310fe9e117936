"""Fixtures that every test may use. Real programs are fetched on first use (support/real_parts.py)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.embedded_agent import EmbeddedAgent
from support.mesh_ca import MeshCa
from support.real_consul import RealConsul

# How long an example takes says how busy the machine is, and nothing about the program. A build server
# tries the same examples each time: what else there is to find is found where somebody can look at it.
settings.register_profile(
    "connect-proxy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("connect-proxy")

# A shell ignores SIGINT for what it starts in the background, ``nohup`` SIGHUP, and every program started
# from there inherits that: tests that send these signals would fail, or wait in vain.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def mesh_ca() -> MeshCa:
    """A certificate authority of the tests' own."""
    return MeshCa()


@pytest.fixture(scope="session")
def shared_real_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("consul"), grpc=True) as consul:
        yield consul


@pytest.fixture(scope="session")
def shared_embedded_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAgent]:
    with EmbeddedAgent(folder=tmp_path_factory.mktemp("embedded-agent")) as agent:
        yield agent


@pytest.fixture
def real_consul(shared_real_consul: RealConsul) -> Iterator[RealConsul]:
    """A real Consul without services and intentions (the process itself is shared per worker)."""
    yield shared_real_consul
    _clear(shared_real_consul)


@pytest.fixture
def embedded_agent(shared_embedded_agent: EmbeddedAgent) -> Iterator[EmbeddedAgent]:
    """An embedded agent without services and intentions (the process itself is shared per worker)."""
    yield shared_embedded_agent
    _clear(shared_embedded_agent)


@pytest.fixture(params=["embedded", "consul"])
def agent(request: pytest.FixtureRequest) -> AgentUnderTest:
    """The embedded agent, then the real Consul: whatever a test finds must hold for both."""
    name = "embedded_agent" if request.param == "embedded" else "real_consul"
    found: AgentUnderTest = request.getfixturevalue(name)
    return found


def _clear(agent: AgentUnderTest) -> None:
    """Also out of the catalog: the next test registers under the same names, and would find these."""
    agent.api.clear_services()
    agent.api.clear_intentions()
    wait_for_catalog(agent.api)
