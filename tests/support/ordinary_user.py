"""Programs of this installation run by an ordinary user, for tests that run as root.

That user may well not be able to reach this interpreter (``/root`` is closed to others), so it gets a
tree of its own with the same files: hard links where the file system allows, and nothing is installed.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

USER: Final = "nobody"
OTHER_USER: Final = "daemon"
"""Ordinary too, and not the one above. Debian has both on every machine."""

_UNUSED: Final = shutil.ignore_patterns("test", "idlelib", "ensurepip", "site-packages", "config-*")


@functools.cache
def installation() -> tempfile.TemporaryDirectory[str]:
    """A Python with what is installed beside this one, for everybody to read; gone with this process."""
    folder = tempfile.TemporaryDirectory(prefix="cp-user-")
    root = Path(folder.name)
    root.chmod(0o755)
    stdlib = Path(sysconfig.get_path("stdlib"))
    lib = root / "lib" / stdlib.name
    shutil.copytree(stdlib, lib, symlinks=True, ignore=_UNUSED, copy_function=_linked)
    for packages in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        shutil.copytree(
            packages, lib / "site-packages", symlinks=True, copy_function=_linked, dirs_exist_ok=True
        )
    # Where a Debian Python looks for packages.
    (root / "lib" / "python3").mkdir()
    (root / "lib" / "python3" / "dist-packages").symlink_to(lib / "site-packages")
    for library in Path(sysconfig.get_config_var("LIBDIR")).glob(f"libpython{_version()}*.so*"):
        _linked(library, root / "lib" / library.name)
    (root / "bin").mkdir()
    _beside_its_library(Path(sys.executable).resolve(), root / "bin" / "python3")
    return folder


def python() -> Path:
    """The interpreter of that tree."""
    return Path(installation().name) / "bin" / "python3"


def connect_proxy_program() -> Path:
    """``connect-proxy`` of that tree."""
    path = python().with_name("connect-proxy")
    if not path.exists():
        _script(path, f'#!/bin/sh\nexec {python()} -m connect_proxy "$@"\n')
    return path


def own_folder(user: str = USER) -> tempfile.TemporaryDirectory[str]:
    """A folder that belongs to *user*: pytest's own are closed to everybody else. Short, for sockets."""
    folder = tempfile.TemporaryDirectory(prefix="cp-")
    give(Path(folder.name), user)
    Path(folder.name).chmod(0o755)
    return folder


def give(path: Path, user: str = USER) -> None:
    """Make *path* that user's and its group's."""
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def uid(user: str = USER) -> int:
    return pwd.getpwnam(user).pw_uid


def _beside_its_library(source: Path, target: Path) -> None:
    """A copy of the interpreter that looks for a shared libpython in the tree's own ``lib``: the path
    that was linked into it is replaced by a shorter one, relative to the program (ld.so(8), $ORIGIN)."""
    program = source.read_bytes()
    linked = os.fsencode(sysconfig.get_config_var("LIBDIR"))
    relative = b"$ORIGIN/../lib"
    if len(relative) <= len(linked):
        program = program.replace(b"\0%s\0" % linked, b"\0%s\0" % relative.ljust(len(linked), b"\0"))
    target.write_bytes(program)
    target.chmod(0o755)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _linked(source: str | Path, target: str | Path) -> None:
    """The same file under another name; a copy where that cannot be."""
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
