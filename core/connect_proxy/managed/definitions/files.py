"""The agent's files: which ones, whether they can be trusted, and what they say.

As Consul: of a folder its ``*.hcl`` and ``*.json`` in lexical order, sub-folders left alone; later
files have the last word.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from connect_proxy.errors import AgentConfigurationError, MalformedDocumentError
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.definitions.decoding import FileContent, configuration, read_table
from connect_proxy.managed.definitions.document import Table
from connect_proxy.managed.definitions.hcl import parse_hcl, parse_json

SUFFIXES: Final = (".hcl", ".json")


def read_configuration(paths: Iterable[Path]) -> AgentConfiguration:
    """What all files of *paths* (folders and files, in this order) say together.

    Raises AgentConfigurationError with every problem of every file: unreadable, not to be trusted,
    malformed, wrong keys and values.
    """
    problems: list[str] = []
    warnings: list[str] = []
    contents: list[FileContent] = []
    files: list[str] = []
    for path in _files(paths, problems, warnings):
        try:
            contents.append(read_table(_table(path, warnings), str(path)))
        except AgentConfigurationError as exc:
            problems += exc.problems
        files.append(str(path))
    if problems:
        raise AgentConfigurationError(problems)
    return configuration(contents, files=files, warnings=warnings)


def _files(paths: Iterable[Path], problems: list[str], warnings: list[str]) -> Iterator[Path]:
    for path in paths:
        try:
            if not path.is_dir():
                yield path
                continue
            if problem := _distrust(path, path.stat(), warnings):
                problems.append(problem)
                continue
            found = sorted(
                (entry for entry in path.iterdir() if entry.suffix in SUFFIXES and not entry.is_dir()),
                key=lambda entry: entry.name,
            )
            if not found:
                warnings.append(
                    f"{path}: no definitions are in it: no file ends in {' or '.join(SUFFIXES)}"
                )
            yield from found
        except OSError as exc:
            problems.append(_unreadable(path, exc))


def _table(path: Path, warnings: list[str]) -> Table:
    text = _text(path, warnings)
    try:
        return parse_json(text) if path.suffix == ".json" else parse_hcl(text)
    except MalformedDocumentError as exc:
        raise AgentConfigurationError([f"{path}:{exc.line}:{exc.column}: {exc}"]) from exc


def _text(path: Path, warnings: list[str]) -> str:
    """The file's content, whose owner and mode were looked at on the open file."""
    if path.suffix not in SUFFIXES and path.exists():
        message = f"{path}: its name ends in neither of {', '.join(SUFFIXES)}, so its format is not known"
        raise AgentConfigurationError([message])
    try:
        # Not blocking: opening a pipe would wait for somebody to write to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise AgentConfigurationError([f"{path}: this is no regular file"])
            if problem := _distrust(path, status, warnings):
                raise AgentConfigurationError([problem])
            content = file.read()
    except OSError as exc:
        raise AgentConfigurationError([_unreadable(path, exc)]) from exc
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise AgentConfigurationError([f"{path}:{line}: byte {exc.start} is no UTF-8"]) from exc


def _distrust(path: Path, status: os.stat_result, warnings: list[str]) -> str:
    """Why what *path* says must not be followed, empty if it may: it names programs that are run."""
    runner = os.geteuid()
    sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_uid not in {0, runner}:
        owner = status.st_uid
        return f"{path}: owned by the user id {owner}, neither root nor who runs this ({runner}); chown it"
    if status.st_mode & stat.S_IWOTH and not sticky_folder:
        return f"{path}: everybody may write to it (mode {stat.S_IMODE(status.st_mode):04o}); chmod o-w it"
    if status.st_mode & stat.S_IWGRP and not sticky_folder:
        warnings.append(
            f"{path}: the group {status.st_gid} may write to it, and so choose which programs are run;"
            " chmod g-w it"
        )
    return ""


def _unreadable(path: Path, exc: OSError) -> str:
    hint = "; check -config-dir and -config-file" if exc.errno == errno.ENOENT else ""
    return f"{path}: cannot be read: {exc.strerror or exc}{hint}"
