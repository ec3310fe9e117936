"""One data worker: a thread with a loop of its own, told what to do by messages alone."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Final

from connect_proxy_builtin import messages
from connect_proxy_builtin.acceptor import Acceptor
from connect_proxy_builtin.crew import Crew
from connect_proxy_builtin.inbound import Inbound
from connect_proxy_builtin.mailbox import Mailbox
from connect_proxy_builtin.messages import News, Order, Say
from connect_proxy_builtin.outbound import Outbound
from connect_proxy_builtin.poller import IN
from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.timers import Timer
from connect_proxy_builtin.tls.engine import generation
from connect_proxy_builtin.worker_state import UpstreamState, WorkerState

REPORT_EVERY_S: Final = 0.25
KEEP_SOURCES: Final = 4096
"""Identities without a connection whose decision is kept."""


class Worker:
    """Runs :meth:`run` in its thread; everything but :meth:`post` belongs to that thread."""

    def __init__(self, number: int, tell: Callable[[News], None], crew: Crew, *, shared: bool) -> None:
        """*shared*: several workers accept on the same sockets."""
        self.number = number
        self._tell = tell
        self._shared = shared
        self._orders: Mailbox[Order] = Mailbox()
        self._stopping = self._draining = False
        self._acceptors: dict[str, Acceptor] = {}
        self._report_timer: Timer | None = None
        self._thread = threading.Thread(target=self.run, name=f"data-{number}", daemon=True)
        self._reactor = Reactor(self._crashed)
        self._world = WorkerState(reactor=self._reactor, tell=tell, changed=self._changed)
        self._crew = crew
        crew.worlds.append(self._world)
        self._carry_out: dict[type, Callable[..., None]] = {
            messages.UseTls: self._use_tls,
            messages.UseInbound: self._use_inbound,
            messages.UseUpstream: self._use_upstream,
            messages.DropUpstream: self._drop_upstream,
            messages.OpenListener: self._open_listener,
            messages.CloseListener: self._close_listener,
            messages.ForgetDecisions: self._forget_decisions,
            messages.Decide: self._decide,
            messages.TellClosed: self._tell_closed,
            messages.AskReport: self._ask_report,
            messages.Drain: self._drain,
            messages.Stop: self._stop,
        }

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def post(self, order: Order) -> None:
        """Have *order* carried out soon. From any thread."""
        self._orders.put(order)

    def held(self) -> contextlib.AbstractContextManager[None]:
        """What is posted meanwhile is carried out afterwards."""
        return self._orders.held()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread, after a Stop; whether it ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def run(self) -> None:
        """The loop."""
        failure = ""
        reactor = self._reactor
        reactor.watch(self._orders.fileno(), IN, self._on_orders)
        try:
            while not self._stopping:
                reactor.step()
        except Exception:
            failure = traceback.format_exc()
        finally:
            self._end()
            self._tell(messages.Ended(failure=failure))

    def _end(self) -> None:
        for acceptor in self._acceptors.values():
            acceptor.close()
        for connection in list(self._world.open):
            connection.abort("stopped")
        self._report()
        self._reactor.close()
        self._orders.close()

    def _on_orders(self, _mask: int) -> None:
        for order in self._orders.take():
            self._carry_out[type(order)](order)

    def _crashed(self, callback: object, exc: Exception) -> None:
        """A defect of ours: it costs the one connection it happened on."""
        text = "".join(traceback.format_exception(exc))
        self._tell(Say(level=logging.ERROR, text=f"defect in the data plane: {text}", kind="defect"))
        self._world.counters["defects"] += 1
        owner = getattr(callback, "__self__", None)
        if owner is not None and hasattr(owner, "abort"):
            owner.abort("defect")

    # ------------------------------------------------------------ orders

    def _use_tls(self, order: messages.UseTls) -> None:
        self._world.identity = order.material.identity
        self._world.tls = generation(order.generation, order.material)

    def _use_inbound(self, order: messages.UseInbound) -> None:
        self._world.inbound = order.policy

    def _use_upstream(self, order: messages.UseUpstream) -> None:
        policy = order.policy
        state = self._world.upstreams.get(policy.id)
        if state is None:
            state = self._world.upstreams[policy.id] = UpstreamState(policy=policy)
        state.use(policy)
        self._changed()

    def _drop_upstream(self, order: messages.DropUpstream) -> None:
        state = self._world.upstreams.pop(order.upstream_id, None)
        if state is not None:
            state.use(dataclasses.replace(state.policy, known=True))
        self._changed()

    def _open_listener(self, order: messages.OpenListener) -> None:
        sock = socket.socket(order.family, socket.SOCK_STREAM, fileno=order.descriptor)
        if order.upstream_id:
            upstream_id = order.upstream_id
            serve = lambda accepted: self._serve_application(accepted, upstream_id)  # noqa: E731
        else:
            serve = self._serve_caller
        self._acceptors[order.key] = Acceptor(self._world, sock, serve, shared=self._shared)

    def _close_listener(self, order: messages.CloseListener) -> None:
        acceptor = self._acceptors.pop(order.key, None)
        if acceptor is not None:
            acceptor.close()

    def _forget_decisions(self, _order: messages.ForgetDecisions) -> None:
        for uri, source in list(self._world.sources.items()):
            source.decision = None
            if source.connections:
                source.asked = True
                self._tell(messages.AuthorizeSource(source=uri, serial=source.serial))
            else:
                del self._world.sources[uri]

    def _decide(self, order: messages.Decide) -> None:
        source = self._world.sources.get(order.source)
        if source is None:
            return
        source.asked = False
        if order.lasting:
            source.decision = order
        for connection in list(source.connections):
            connection.decided(order)
        if len(self._world.sources) > KEEP_SOURCES:
            self._forget_absent()

    def _forget_absent(self) -> None:
        for uri, source in list(self._world.sources.items()):
            if not source.connections:
                del self._world.sources[uri]

    def _tell_closed(self, order: messages.TellClosed) -> None:
        self._world.tell_closed = order.wanted

    def _ask_report(self, _order: messages.AskReport) -> None:
        self._report()

    def _drain(self, _order: messages.Drain) -> None:
        self._draining = True
        self._changed()

    def _stop(self, _order: messages.Stop) -> None:
        self._stopping = True

    # ------------------------------------------------------------ accepted connections

    def _serve_caller(self, sock: socket.socket) -> None:
        world = self._world
        tls, policy = world.tls, world.inbound
        if tls is None or policy is None or tls.expired:
            self._turn_away(sock, "inbound", "leaf_expired" if tls else "not_ready")
        elif limit := policy.limits.max_connections:
            with self._crew.admission:
                if admitted := self._crew.inbound_open() < limit:
                    Inbound(world, sock, tls=tls, policy=policy)
            self._admitted(sock, "inbound", admitted=admitted)
        else:
            Inbound(world, sock, tls=tls, policy=policy)
            self._changed()

    def _serve_application(self, sock: socket.socket, upstream_id: str) -> None:
        world = self._world
        tls, upstream = world.tls, world.upstreams.get(upstream_id)
        if tls is None or upstream is None or tls.expired:
            self._turn_away(sock, "outbound", "leaf_expired" if tls else "not_ready")
        elif limit := upstream.policy.limits.max_connections:
            with self._crew.admission:
                if admitted := self._crew.outbound_open(upstream_id) < limit:
                    Outbound(world, sock, tls=tls, upstream=upstream).choose()
            self._admitted(sock, "outbound", admitted=admitted)
        else:
            Outbound(world, sock, tls=tls, upstream=upstream).choose()
            self._changed()

    def _admitted(self, sock: socket.socket, side: str, *, admitted: bool) -> None:
        if admitted:
            self._changed()
        else:
            self._turn_away(sock, side, "limit")

    def _turn_away(self, sock: socket.socket, side: str, kind: str) -> None:
        self._world.counters[f"{side}_refused.{kind}"] += 1
        text = f"{side} connection turned away: {kind.replace('_', ' ')}"
        self._tell(Say(level=logging.WARNING, text=text, kind=f"{side} {kind}"))
        self._reactor.dispose(sock)
        self._changed()

    # ------------------------------------------------------------ figures

    def _changed(self) -> None:
        """Report soon; say at once when a drain has come to its end."""
        if self._draining and not self._world.open:
            self._draining = False
            self._tell(messages.Drained())
        if self._report_timer is None:
            self._report_timer = self._reactor.call_later(REPORT_EVERY_S, self._report)

    def _report(self) -> None:
        if self._report_timer is not None:
            self._report_timer.cancel()
            self._report_timer = None
        now = self._reactor.now
        counters = self._world.counters.copy()
        for connection in self._world.open:
            for name, count in connection.moved():
                counters[name] += count
        self._tell(
            messages.Report(
                counters=dict(counters),
                upstreams={
                    upstream_id: tuple(
                        {
                            "address": str(instance.target),
                            "identity": instance.target.expected_uri,
                            "open": instance.open,
                            "failures": instance.failures,
                            "avoided": instance.avoid_until > now,
                        }
                        for instance in state.balancer.instances
                    )
                    for upstream_id, state in self._world.upstreams.items()
                },
            )
        )
