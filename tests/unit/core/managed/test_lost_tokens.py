"""Tokens that Consul does not know any more."""

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import connect_consul
from connect_proxy.managed.assignment import Assignment, inherited
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.lost_tokens import LostTokens
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.managed.tokens import ProxyTokens
from connect_proxy.secret import Secret
from support.eventually import eventually
from support.managed_definitions import managed_proxy
from support.scripted_agent import Reply, ScriptedAgent, text

PATH = "/v1/acl/token/old"


def assigned(command: str, *, accessor: str) -> Assignment:
    return Assignment(
        proxy=managed_proxy(command=("sh", "-c", command)),
        port=20001,
        access=AgentAccess(token=Secret(f"secret of {accessor}")),
        token_accessor=accessor,
        environment=inherited(os.environ),
    )


class Scene:
    """A fleet of one proxy with the token ``old``, which gets ``new`` where that is lost."""

    def __init__(self, agent: ScriptedAgent, folder: Path, command: str) -> None:
        self.agent, self.command = agent, command
        directory = DataDirectory(path=folder)
        directory.lock()
        self.directory = directory
        self.fleet = Fleet(directory)
        self.client = connect_consul(agent.access())
        self.replaced: list[frozenset[str]] = []
        self.lost = LostTokens(ProxyTokens(self.client), self.fleet, replace=self._replace)

    async def _replace(self, proxy_ids: frozenset[str]) -> None:
        self.replaced.append(proxy_ids)
        await self.fleet.apply([assigned(self.command, accessor="new")])

    @property
    def state(self) -> str:
        return self.fleet.members["web-proxy"].state


def play(tmp_path: Path, command: str, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def go() -> None:
        async with ScriptedAgent() as agent:
            one = Scene(agent, tmp_path / "data", command)
            await one.fleet.apply([assigned(command, accessor="old")])
            await scene(one)
            await one.fleet.stop_all()
            await one.client.aclose()

    asyncio.run(go())


def test_what_ended_for_good_for_want_of_its_token_starts_with_a_new_one(tmp_path: Path) -> None:
    command = 'test "$CONSUL_HTTP_TOKEN" = "secret of new" || exit 126; exec sleep 600'

    async def scene(one: Scene) -> None:
        one.agent.always(PATH, text(403, "ACL not found"))
        await eventually(lambda: one.state == "fatal", "its end")
        await one.lost.look()
        assert one.replaced == [{"web-proxy"}]
        await eventually(lambda: one.state == "running", "its start")
        assert one.directory.read()["web-proxy"].token_accessor == "new"

    play(tmp_path, command, scene)


def test_a_token_that_is_there_is_looked_at_once_after_each_end(tmp_path: Path) -> None:
    async def scene(one: Scene) -> None:
        one.agent.always(PATH, Reply(body=b'{"AccessorID": "old", "SecretID": "x"}'))
        await eventually(lambda: one.state == "fatal", "its end")
        for _ in range(3):
            await one.lost.look()
        assert (one.replaced, len(one.agent.asked(PATH)), one.state) == ([], 1, "fatal")
        one.fleet.start("web-proxy")
        await eventually(lambda: one.state == "fatal", "its next end")
        await one.lost.look()
        assert len(one.agent.asked(PATH)) == 2

    play(tmp_path, "exit 126", scene)


@pytest.mark.parametrize("status", [500, 403])
def test_before_a_start_it_is_replaced_only_if_consul_says_that_it_is_gone(
    tmp_path: Path, status: int
) -> None:
    async def scene(one: Scene) -> None:
        one.agent.always(PATH, text(status, "ACL not found" if status == 403 else "rpc error"))
        await eventually(lambda: one.state == "running", "its start")
        await one.lost.look()
        assert one.agent.asked(PATH) == []  # what runs is let alone
        lost = await one.lost.renew(["web-proxy", "unknown"])
        assert bool(lost) is (status == 403)

    play(tmp_path, "exec sleep 600", scene)


def test_a_proxy_without_a_token_of_ours_is_not_asked_about(tmp_path: Path) -> None:
    async def scene(one: Scene) -> None:
        member = one.fleet.members["web-proxy"]
        member.assignment = dataclasses.replace(member.assignment, token_accessor="")
        assert await one.lost.renew(["web-proxy"]) == frozenset()
        assert one.agent.asked(PATH) == []

    play(tmp_path, "exec sleep 600", scene)
