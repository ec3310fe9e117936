"""Lines with their proxy's name before them."""

import asyncio
import os

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.managed.logs.labelled_output import LONGEST_LINE, LineLabeller, labelled_pipe


def labelled(pieces: list[bytes]) -> bytes:
    said: list[bytes] = []
    labeller = LineLabeller("web-proxy", said.append)
    for piece in pieces:
        labeller.feed(piece)
    labeller.end()
    return b"".join(said)


@given(st.lists(st.binary(max_size=40)))
def test_every_line_comes_whole_and_labelled_however_it_arrives(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert labelled(pieces) == b"".join(b"[web-proxy] " + line + b"\n" for line in lines)


def test_a_line_without_an_end_is_passed_on_in_pieces() -> None:
    said = labelled([b"x" * (LONGEST_LINE + 1)])
    assert said.replace(b"[web-proxy] ", b"").replace(b"\n", b"") == b"x" * (LONGEST_LINE + 1)
    assert said.count(b"\n") == 2


def test_a_pipe_is_read_until_its_last_writer_is_gone() -> None:
    said: list[bytes] = []

    async def run() -> None:
        pipe = labelled_pipe("db-proxy", said.append)
        os.write(pipe, b"one\ntw")
        os.write(pipe, b"o")
        os.close(pipe)
        async with asyncio.timeout(60):
            while len(said) < 2:  # noqa: ASYNC110  (the pipe's reader sets no event)
                await asyncio.sleep(0.005)

    asyncio.run(run())
    assert said == [b"[db-proxy] one\n", b"[db-proxy] two\n"]
