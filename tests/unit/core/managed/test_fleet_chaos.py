"""Whatever happens in whatever order: in the end exactly what is wanted runs, and nothing is left over."""

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connect_proxy.consul.access import AgentAccess
from connect_proxy.managed.assignment import Assignment, inherited
from connect_proxy.managed.definitions.configuration import ManagedProxy, Origin
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.supervisor.identity import identity_of, session_members
from support.processes import wait_until

NAMES = ("a", "b", "c")
DEADLINE_S = 60.0


def assignment(name: str, version: int) -> Assignment:
    proxy = ManagedProxy(
        id=f"{name}-proxy",
        name=f"{name}-proxy",
        service_id=name,
        service_name=name,
        backend="custom_exec",
        command=("sleep", str(6000 + version)),
        origin=Origin(file="x.hcl"),
    )
    return Assignment(proxy=proxy, port=20000, access=AgentAccess(), environment=inherited(os.environ))


def is_running(pid: int, version: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == f"sleep\0{6000 + version}\0".encode()
    except (FileNotFoundError, ProcessLookupError):
        return False


def killed(pid: int) -> None:
    """And come back when it is dead: a signal takes its time."""
    identity = identity_of(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: identity_of(pid) != identity, "the end of the killed")


class AnyHistory(RuleBasedStateMachine):
    """The model is two values: what is wanted, and what an operator stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.wanted: dict[str, int] = {}
        self.held: set[str] = set()
        self.seen: set[int] = set()

    @initialize()
    def an_agent_starts(self) -> None:
        self.directory = DataDirectory(path=self.folder)
        self.directory.lock()
        self.fleet = Fleet(self.directory)

    @rule(wanted=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)))
    def the_definitions_change(self, wanted: dict[str, int]) -> None:
        self.wanted = wanted
        self.held &= wanted.keys()
        self.runner.run(self._apply())
        self._settle()

    @rule(name=st.sampled_from(NAMES))
    def a_proxy_is_killed(self, name: str) -> None:
        pid = self._pid(name)
        if pid:
            killed(pid)
        self._settle()

    @rule(kill=st.booleans())
    def the_agent_ends_and_another_one_starts(self, kill: bool) -> None:
        self._settle()
        pids = {name: self._pid(name) for name in self.wanted}
        if kill and pids:
            victim = next((pid for pid in pids.values() if pid), 0)
            if victim:
                killed(victim)
                pids = {name: pid for name, pid in pids.items() if pid != victim}
        self.runner.run(self.fleet.leave())
        self.fleet = Fleet(self.directory)
        self.runner.run(self._apply())
        self._settle()
        assert {name: self._pid(name) for name in pids} == pids, "adopted, not started again"

    @rule(name=st.sampled_from(NAMES))
    def an_operator_stops_one(self, name: str) -> None:
        if name in self.wanted:
            self.runner.run(self.fleet.stop(f"{name}-proxy"))
            self.held.add(name)
            self._settle()

    @rule(name=st.sampled_from(NAMES))
    def an_operator_starts_one(self, name: str) -> None:
        if name in self.wanted:
            self.runner.run(self._started(name))
            self.held.discard(name)
            self._settle()

    @invariant()
    def nothing_runs_that_is_not_wanted(self) -> None:
        running = {pid for name in self.wanted if (pid := self._pid(name))}
        for pid in self.seen - running:
            assert identity_of(pid) is None or not session_members(pid), f"pid {pid} was left over"

    def teardown(self) -> None:
        self.wanted, self.held = {}, set()
        self.runner.run(self._apply())
        self.nothing_runs_that_is_not_wanted()
        assert self.directory.read() == {}
        self.directory.unlock()
        self.runner.close()
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------ steps

    async def _apply(self) -> None:
        await self.fleet.apply([assignment(name, version) for name, version in self.wanted.items()])

    async def _started(self, name: str) -> None:
        self.fleet.start(f"{name}-proxy")

    def _pid(self, name: str) -> int:
        member = self.fleet.members.get(f"{name}-proxy")
        return (member.supervisor.pid or 0) if member and member.supervisor else 0

    def _settle(self) -> None:
        """Until wanted = running, as it must come to be."""
        self.runner.run(self._until_settled())
        self.seen |= {pid for name in self.wanted if (pid := self._pid(name))}

    async def _until_settled(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not self._is_settled():  # noqa: ASYNC110  (processes set no events)
                await asyncio.sleep(0.005)

    def _is_settled(self) -> bool:
        for name, version in self.wanted.items():
            pid = self._pid(name)
            if name in self.held:
                if pid:
                    return False
            elif not pid or not is_running(pid, version):
                return False
        return True


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
