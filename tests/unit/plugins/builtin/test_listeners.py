from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy_builtin.inheritance import Inherited
from connect_proxy_builtin.listeners import PUBLIC, Listeners, Wanted
from connect_proxy_builtin.messages import CloseListener, OpenListener, Order
from connect_proxy_builtin.policy import ConnectionLimits, SocketAddress
from support.ports import free_port


def wanted(name: str, **address: object) -> Wanted:
    return Wanted(
        name=name,
        address=SocketAddress(**{"host": "127.0.0.1", **address}),  # type: ignore[arg-type]
        limits=ConnectionLimits(),
    )


@pytest.fixture
def orders() -> Iterator[list[Order]]:
    """What the one worker was told; its descriptors are closed at the end."""
    told: list[Order] = []
    yield told
    for order in told:
        if isinstance(order, OpenListener):
            with contextlib.suppress(OSError):
                os.close(order.descriptor)


def test_what_is_wanted_is_opened_once(orders: list[Order]) -> None:
    listeners = Listeners([orders.append])
    public = wanted(PUBLIC, port=free_port())
    assert listeners.apply({PUBLIC: public}) == {}
    assert listeners.apply({PUBLIC: public}) == {}
    assert listeners.complete
    assert len(orders) == 1
    assert listeners.addresses() == {PUBLIC: str(public.address)}
    listeners.close_all()


def test_what_is_not_wanted_any_more_is_closed(orders: list[Order]) -> None:
    listeners = Listeners([orders.append])
    listeners.apply({"db": wanted("db", port=free_port())})
    listeners.apply({})
    opened, closed = orders
    assert isinstance(opened, OpenListener)
    assert closed == CloseListener(key=opened.key)
    assert listeners.addresses() == {}


def test_a_dropped_listener_is_not_opened_again(orders: list[Order]) -> None:
    listeners = Listeners([orders.append])
    listeners.apply({PUBLIC: wanted(PUBLIC, port=free_port()), "db": wanted("db", port=free_port())})
    listeners.drop(PUBLIC)
    assert listeners.complete
    assert listeners.retry() == {}
    assert list(listeners.addresses()) == ["db"]
    listeners.close_all()


def test_what_cannot_be_opened_is_told_and_opened_later(orders: list[Order]) -> None:
    listeners = Listeners([orders.append])
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        failed = listeners.apply({"db": wanted("db", port=taken.getsockname()[1])})
        assert isinstance(failed["db"], PortInUseError)
        assert not listeners.complete
        assert "in use" in listeners.failures["db"]
    assert listeners.retry() == {}
    assert listeners.failures == {}
    assert listeners.complete
    listeners.close_all()


def test_an_address_that_this_machine_does_not_have_is_an_error_of_the_configuration(
    orders: list[Order],
) -> None:
    failed = Listeners([orders.append]).apply({PUBLIC: wanted(PUBLIC, host="192.0.2.1", port=1025)})
    assert isinstance(failed[PUBLIC], ConfigurationError)
    assert "bind_address" in str(failed[PUBLIC])


def test_every_worker_gets_a_descriptor_of_its_own() -> None:
    first: list[Order] = []
    second: list[Order] = []
    listeners = Listeners([first.append, second.append])
    listeners.apply({PUBLIC: wanted(PUBLIC, port=free_port())})
    (one,), (two,) = first, second
    assert isinstance(one, OpenListener)
    assert isinstance(two, OpenListener)
    assert one.descriptor != two.descriptor
    listeners.close_all()
    os.close(one.descriptor)
    os.close(two.descriptor)


def test_a_socket_file_left_by_a_crash_is_replaced_and_a_living_one_is_not(
    orders: list[Order], tmp_path: Path
) -> None:
    path = tmp_path / "db.sock"
    crashed = socket.socket(socket.AF_UNIX)
    crashed.bind(str(path))
    crashed.close()
    listeners = Listeners([orders.append])
    by_path = Wanted(name="db", address=SocketAddress(path=str(path)), limits=ConnectionLimits())
    assert listeners.apply({"db": by_path}) == {}
    other = Listeners([orders.append])
    assert isinstance(other.apply({"db": by_path})["db"], PortInUseError)
    listeners.close_all()
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(orders: list[Order], tmp_path: Path) -> None:
    path = tmp_path / "db.sock"
    path.write_text("precious")
    by_path = Wanted(name="db", address=SocketAddress(path=str(path)), limits=ConnectionLimits())
    assert "db" in Listeners([orders.append]).apply({"db": by_path})
    assert path.read_text() == "precious"


def test_a_successor_takes_over_what_the_process_before_it_left_in_place(
    orders: list[Order], tmp_path: Path
) -> None:
    path = tmp_path / "db.sock"
    by_path = Wanted(name="db", address=SocketAddress(path=str(path)), limits=ConnectionLimits())
    public = wanted(PUBLIC, port=free_port())
    gone = wanted("gone", port=free_port())
    before = Listeners([orders.append])
    before.apply({"db": by_path, PUBLIC: public, "gone": gone})
    left = {name: os.dup(descriptor) for name, descriptor in before.inheritable().items()}
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(path))  # nobody has accepted it when the sockets change hands
        before.leave_all()
        for order in orders:
            if isinstance(order, OpenListener):
                os.close(order.descriptor)
        orders.clear()
        after = Listeners([orders.append], inherited=Inherited(left))
        assert after.apply({"db": by_path, PUBLIC: public}) == {}
        (descriptor,) = [
            order.descriptor
            for order in orders
            if isinstance(order, OpenListener) and order.upstream_id == "db"
        ]
        with socket.socket(fileno=descriptor) as listener:
            accepted, _ = listener.accept()
            accepted.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", gone.address.port)) != 0, "what is not wanted is closed"
    after.close_all()
    assert not path.exists()


def test_an_inherited_descriptor_that_is_no_socket_is_an_error() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(ConfigurationError, match="no socket"):
            Inherited({"web": reading}).take("web")
    finally:
        os.close(reading)
        os.close(writing)


def test_a_successor_listens_beside_it_once_it_shares_and_nobody_else(orders: list[Order]) -> None:
    public = wanted(PUBLIC, port=free_port())
    address = str(public.address)
    first, second = Listeners([orders.append]), Listeners([orders.append], shared=[address])
    first.apply({PUBLIC: public})
    assert isinstance(second.apply({PUBLIC: public})[PUBLIC], PortInUseError)
    assert first.share(share=True) == [address]
    assert isinstance(Listeners([orders.append]).apply({PUBLIC: public})[PUBLIC], PortInUseError)
    assert second.retry() == {}
    first.leave_all()
    second.share(share=False)
    assert isinstance(Listeners([orders.append]).apply({PUBLIC: public})[PUBLIC], PortInUseError)
    second.close_all()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_all_addresses_are_shared_as_the_one_before_it_has_them(orders: list[Order]) -> None:
    public = wanted(PUBLIC, host="", port=free_port())
    first = Listeners([orders.append])
    first.apply({PUBLIC: public})
    assert first.share(share=True) == [f":{public.address.port}"]
    first.close_all()
    apart = [f"0.0.0.0:{public.address.port}", f"[::]:{public.address.port}"]
    second = Listeners([orders.append], shared=apart)
    assert second.apply({PUBLIC: public}) == {}
    assert second.share(share=True) == apart
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, public.address.port), 60).close()
    opened = [order for order in orders if isinstance(order, OpenListener)]
    second.close_all()
    closed = [order.key for order in orders if isinstance(order, CloseListener)]
    assert closed == [order.key for order in opened]


def test_a_unix_socket_is_what_cannot_be_shared(orders: list[Order], tmp_path: Path) -> None:
    path = str(tmp_path / "db.sock")
    listeners = Listeners([orders.append])
    listeners.apply({"db": wanted("db", host="", path=path)})
    assert listeners.unshareable() == path
    listeners.close_all()
    assert listeners.unshareable() == ""
