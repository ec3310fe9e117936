from __future__ import annotations

import select
import threading

from connect_proxy_builtin.mailbox import Mailbox


def test_messages_come_out_in_the_order_they_were_put() -> None:
    box: Mailbox[int] = Mailbox()
    for number in range(5):
        box.put(number)
    assert box.take() == [0, 1, 2, 3, 4]
    assert box.take() == []
    box.close()


def test_a_message_from_another_thread_wakes_who_waits() -> None:
    box: Mailbox[str] = Mailbox()
    thread = threading.Thread(target=box.put, args=("hello",))
    thread.start()
    readable, _, _ = select.select([box.fileno()], [], [], 10)
    thread.join()
    assert readable
    assert box.take() == ["hello"]
    assert select.select([box.fileno()], [], [], 0)[0] == []
    box.close()


def test_more_messages_than_the_pipe_holds_are_all_delivered() -> None:
    box: Mailbox[int] = Mailbox()
    for number in range(200_000):
        box.put(number)
    assert len(box.take()) == 200_000
    box.close()


def test_a_closed_box_takes_messages_without_a_word() -> None:
    box: Mailbox[int] = Mailbox()
    box.close()
    box.put(1)


def test_what_is_put_into_a_held_box_wakes_the_reader_once_afterwards() -> None:
    box: Mailbox[int] = Mailbox()
    with box.held():
        box.put(1)
        box.put(2)
        assert select.select([box.fileno()], [], [], 0)[0] == []
    assert select.select([box.fileno()], [], [], 0)[0] == [box.fileno()]
    assert box.take() == [1, 2]
    assert select.select([box.fileno()], [], [], 0)[0] == []
    box.close()
