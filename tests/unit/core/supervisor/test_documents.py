"""Bytes that reach a program without a file that stays."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.plugin_api import InheritedDocument
from connect_proxy.supervisor.documents import hand_over, take_back

BIG = bytes(range(256)) * 4096  # 1 MiB: far beyond a pipe's buffer
PRINT = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"


def read_by_a_program(document: InheritedDocument) -> bytes:
    handed = hand_over([sys.executable, "-c", PRINT, document.placeholder], [document])
    try:
        outcome = subprocess.run(handed.argv, pass_fds=handed.descriptors, capture_output=True, check=True)
    finally:
        take_back(handed)
    return outcome.stdout


@pytest.mark.parametrize("delivery", ["descriptor", "named_pipe"])
@pytest.mark.parametrize("content", [b"", b"{}", BIG], ids=["empty", "small", "big"])
def test_a_program_reads_what_was_handed_over(delivery: str, content: bytes) -> None:
    document = InheritedDocument(placeholder="{doc}", content=content, delivery=delivery)
    assert read_by_a_program(document) == content


def test_a_placeholder_may_stand_inside_a_word() -> None:
    document = InheritedDocument(placeholder="{doc}", content=b"x")
    handed = hand_over(["prog", "--config={doc}"], [document])
    assert handed.argv == ("prog", f"--config=/dev/fd/{handed.descriptors[0]}")
    take_back(handed)


def test_a_descriptor_belongs_to_nobody_else_and_has_no_name() -> None:
    handed = hand_over(["p", "{doc}"], [InheritedDocument(placeholder="{doc}", content=b"secret")])
    status = os.fstat(handed.descriptors[0])
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert not os.get_inheritable(handed.descriptors[0])
    assert "secret" not in " ".join(handed.argv)
    take_back(handed)


def test_a_pipe_is_for_its_owner_alone_and_gone_once_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    document = InheritedDocument(placeholder="{doc}", content=b"secret", delivery="named_pipe")
    handed = hand_over(["p", "{doc}"], [document])
    status = os.stat(handed.pipes[0])
    assert stat.S_ISFIFO(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert Path(handed.pipes[0]).read_bytes() == b"secret"
    assert list(tmp_path.iterdir()) == []


def test_a_document_without_a_place_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"\{doc\}"):
        hand_over(["prog"], [InheritedDocument(placeholder="{doc}", content=b"")])


def test_an_unknown_delivery_is_an_error() -> None:
    document = InheritedDocument(placeholder="{doc}", content=b"", delivery="carrier pigeon")
    with pytest.raises(ConfigurationError, match="carrier pigeon"):
        hand_over(["prog", "{doc}"], [document])


def test_the_content_is_in_no_repr() -> None:
    document = InheritedDocument(placeholder="{doc}", content=b"secret")
    handed = hand_over(["p", "{doc}"], [document])
    assert "secret" not in repr(document) + repr(handed)
    take_back(handed)
