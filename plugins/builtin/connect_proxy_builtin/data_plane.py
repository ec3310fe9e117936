"""Control's side of the workers: starts them, tells them what changed, gathers what they say."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from connect_proxy_builtin import messages
from connect_proxy_builtin.access_log import AccessLog
from connect_proxy_builtin.crew import Crew
from connect_proxy_builtin.inheritance import Inherited
from connect_proxy_builtin.listeners import PUBLIC, Listeners, wanted_listeners
from connect_proxy_builtin.log_lines import ThinnedLog
from connect_proxy_builtin.mailbox import Mailbox
from connect_proxy_builtin.messages import News, Order
from connect_proxy_builtin.policy import PlanePolicy
from connect_proxy_builtin.tls.engine import generation
from connect_proxy_builtin.worker import Worker

log = logging.getLogger("connect_proxy.builtin")

JOIN_TIMEOUT_S: Final = 5.0
REFRESH_TIMEOUT_S: Final = 1.0


class DataPlane:
    """All workers and all listeners of one proxy. For one event loop."""

    def __init__(
        self,
        *,
        workers: int,
        asked: Callable[[messages.AuthorizeSource], None],
        failed: Callable[[str], None],
        inherited: Inherited | None = None,
        shared: Collection[str] = (),
    ) -> None:
        """*asked*: a worker wants a decision. *failed*: a worker is over and should not be. *shared*: where
        a process beside this one listens."""
        self._asked, self._failed = asked, failed
        self._news: Mailbox[tuple[int, News]] = Mailbox()
        self._lines = ThinnedLog()
        self.access_log = AccessLog()
        self._reports: dict[int, messages.Report] = {}
        self._reported: set[int] = set()
        """Who has reported since it was last asked for."""
        self._all_reported: list[asyncio.Event] = []
        self._drained: set[int] = set()
        self.drained = asyncio.Event()
        """Set once no connection is left, after :meth:`drain`."""
        self._policy: PlanePolicy | None = None
        self._generation = 0
        self._draining = self._left = False
        crew = Crew()
        self._workers = [
            Worker(number, functools.partial(self._tell, number), crew, shared=workers > 1)
            for number in range(workers)
        ]
        posts = [worker.post for worker in self._workers]
        self.listeners = Listeners(posts, inherited=inherited, shared=shared)

    def _tell(self, number: int, news: News) -> None:
        """Called in the worker's thread."""
        self._news.put((number, news))

    def start(self) -> None:
        """Start the workers."""
        asyncio.get_running_loop().add_reader(self._news.fileno(), self._on_news)
        for worker in self._workers:
            worker.start()

    def post(self, order: Order) -> None:
        """Tell every worker."""
        for worker in self._workers:
            worker.post(order)

    @property
    def policy(self) -> PlanePolicy | None:
        """What is in force."""
        return self._policy

    def apply(self, policy: PlanePolicy) -> dict[str, Exception]:
        """Put the difference to what is in force into force. What could not be opened, by listener.

        Raises ConfigurationError for certificates that cannot be used; nothing has changed then.
        """
        with contextlib.ExitStack() as stack:
            for worker in self._workers:
                stack.enter_context(worker.held())
            return self._apply(policy)

    def _apply(self, policy: PlanePolicy) -> dict[str, Exception]:
        before = self._policy
        if before is None or before.tls != policy.tls:
            generation(self._generation + 1, policy.tls)  # found out here, not in the workers
            self._generation += 1
            self.post(messages.UseTls(generation=self._generation, material=policy.tls))
        if before is None or before.inbound != policy.inbound:
            self.post(messages.UseInbound(policy=policy.inbound))
        old = {upstream.id: upstream for upstream in before.upstreams} if before else {}
        for upstream in policy.upstreams:
            if old.pop(upstream.id, None) != upstream:
                self.post(messages.UseUpstream(policy=upstream))
        if before is None or before.access_log != policy.access_log:
            self.access_log.use(policy.access_log)
            self.post(messages.TellClosed(wanted=bool(policy.access_log)))
        self._policy = policy
        wanted = wanted_listeners(policy)
        if self._draining:
            wanted.pop(PUBLIC, None)
        if self._left:
            wanted = {}
        failed = self.listeners.apply(wanted)
        for upstream_id in old:
            self.post(messages.DropUpstream(upstream_id=upstream_id))
        return dict(failed)

    async def refresh(self) -> None:
        """Wait for reports of this moment; at most a second."""
        asked = asyncio.Event()
        self._reported = set()
        self._all_reported.append(asked)
        self.post(messages.AskReport())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_TIMEOUT_S):
                await asked.wait()

    def drain(self) -> None:
        """No more callers; upstream listeners go on. ``drained`` is set at the first moment of calm."""
        self._draining = True
        self.listeners.drop(PUBLIC)
        self.post(messages.Drain())

    def leave(self) -> None:
        """Another process accepts everywhere. ``drained`` as after :meth:`drain`."""
        self._left = True
        self.listeners.leave_all()
        self.post(messages.Drain())

    async def stop(self) -> None:
        """Close everything and wait for the threads to end."""
        self.listeners.close_all()
        self.post(messages.Stop())
        for worker in self._workers:
            if not await asyncio.to_thread(worker.join, JOIN_TIMEOUT_S):
                log.error("data worker %d did not end in time", worker.number)
        asyncio.get_running_loop().remove_reader(self._news.fileno())
        self._on_news()
        self._news.close()
        self.access_log.close()

    # ------------------------------------------------------------ what workers say

    def _on_news(self) -> None:
        for number, news in self._news.take():
            match news:
                case messages.AuthorizeSource():
                    self._asked(news)
                case messages.Say():
                    self._lines.say(news)
                case messages.Closed():
                    self.access_log.write(news)
                case messages.Report():
                    self._note_report(number, news)
                case messages.Drained():
                    self._drained.add(number)
                    if len(self._drained) == len(self._workers):
                        self.drained.set()
                case messages.Ended():
                    if news.failure:
                        self._failed(f"data worker {number} failed: {news.failure}")

    def _note_report(self, number: int, report: messages.Report) -> None:
        self._reports[number] = report
        self._reported.add(number)
        if len(self._reported) == len(self._workers):
            while self._all_reported:
                self._all_reported.pop().set()

    def counters(self) -> dict[str, int]:
        """Of all workers together."""
        total: Counter[str] = Counter()
        for report in self._reports.values():
            total.update(report.counters)
        return dict(sorted(total.items()))

    def open_by_worker(self) -> list[Mapping[str, int]]:
        """How the open connections are spread: one mapping for each worker that has reported, in order."""
        return [
            {name: report.counters.get(name, 0) for name in ("inbound_open", "outbound_open")}
            for _, report in sorted(self._reports.items())
        ]

    def upstream_instances(self) -> Mapping[str, list[Mapping[str, Any]]]:
        """Per upstream its instances as each worker sees them."""
        seen: dict[str, list[Mapping[str, Any]]] = {}
        for number, report in sorted(self._reports.items()):
            for upstream_id, instances in report.upstreams.items():
                seen.setdefault(upstream_id, []).extend(
                    {**instance, "worker": number} for instance in instances
                )
        return seen
