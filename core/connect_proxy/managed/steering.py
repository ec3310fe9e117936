"""Which of the processes that listen on one address the kernel sends new connections to. Linux.

All sockets that listen on one address with SO_REUSEPORT are a group; the kernel chooses by a hash, or by
a small program of the group (socket(7): SO_ATTACH_REUSEPORT_CBPF). It numbers the sockets in the order in
which they began to listen, and moves the last one into the place of one that is closed. Connections that
wait in a socket when it is closed are reset: so nothing may be sent there any more before it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import logging
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

log = logging.getLogger("connect_proxy.managed")

SO_ATTACH_REUSEPORT_CBPF: Final = 51
IP_MINTTL: Final = 21
IPV6_MINHOPCOUNT: Final = 73
UNREACHED: Final = 255
"""More hops left than any packet comes with."""
TABLES: Final = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
LISTENING: Final = "0A"

Instruction = tuple[int, int, int, int]
"""``struct sock_filter`` of linux/filter.h: code, jt, jf, k."""
LOAD_RANDOM: Final = (0x20, 0, 0, 0xFFFFF000 + 56)  # ld #random (SKF_AD_OFF + SKF_AD_RANDOM)
MODULO: Final = 0x94
RETURN_CONSTANT: Final = 0x06
RETURN_ACCUMULATOR: Final = 0x16


def listeners_on(address: str) -> int:
    """How many sockets listen on exactly that ``host:port``."""
    try:
        family, host, port = _parsed(address)
        packed = socket.inet_pton(family, host)
        words = struct.unpack(f"={len(packed) // 4}I", packed)
        place = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
        with TABLES[family].open() as table:
            return sum(1 for fields in listeners_of(table) if fields[1] == place)
    except (OSError, ValueError):
        return 0


def listeners_of(table: Iterable[str]) -> Iterator[list[str]]:
    """The fields of the lines that are listeners'. They come first, before those of connections, of which
    a busy host has tens of thousands: reading these would keep the agent from all else."""
    lines = map(str.split, table)
    next(lines, None)  # the headings
    return itertools.takewhile(lambda fields: fields[3] == LISTENING, lines)


def newcomers_on(address: str, count: int) -> bool:
    """Whether others than the *count* sockets of before listen there too. One for IPv4 alone may have come
    beside one for both kinds; the kernel prefers it."""
    all_of_ipv4 = f"0.0.0.0{address}" if address.startswith(":") else ""  # noqa: S104 - compared
    return listeners_on(address) > count or bool(all_of_ipv4 and listeners_on(all_of_ipv4))


def keep_with_the_first(before: Mapping[str, int]) -> None:
    """Send new connections to those that listen now, whoever comes to listen beside them. *before*: how
    many they are, by address."""
    for address, count in before.items():
        if count:
            _direct(address, (LOAD_RANDOM, (MODULO, 0, 0, count), (RETURN_ACCUMULATOR, 0, 0, 0)))


class Lead:
    """New connections go to one that came to listen after those who are about to leave."""

    def __init__(self, before: Mapping[str, int]) -> None:
        """*before*: how many are about to leave, by address.

        The number is chosen so that it means a newcomer while they close one by one, and nobody once they
        are gone: then the hash decides again. Newcomers that are too few for that get places held.
        """
        self._placeholders: list[socket.socket] = []
        for address, count in before.items():
            came = listeners_on(address) - count
            if count and came > 0:
                _direct(address, ((RETURN_CONSTANT, 0, 0, max(count, came)),))
                self._hold_places(address, count if came < count else 0)

    def _hold_places(self, address: str, count: int) -> None:
        """So many sockets at the end, which are sent nothing: they move into the places of who leaves."""
        with contextlib.suppress(OSError, ValueError):
            while count:
                self._placeholders.append(_member(address))
                count -= 1

    def end(self) -> None:
        """They have left, or the newcomer has."""
        while self._placeholders:
            self._placeholders.pop().close()


def _direct(address: str, program: tuple[Instruction, ...]) -> None:
    """Give the group of *address* its program, as only a member can. Where that cannot be, the hash goes
    on to decide."""
    try:
        with _member(address) as member:
            code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
            held = ctypes.create_string_buffer(code, len(code))
            where = struct.pack("HP", len(program), ctypes.addressof(held))
            member.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, where)
    except (OSError, ValueError) as exc:
        log.debug("new connections to %s are spread by the kernel: %s", address, exc)


def _member(address: str) -> socket.socket:
    """A socket of the group that drops what it is sent, so that the caller's kernel sends it again. Raises
    OSError, ValueError."""
    family, host, port = _parsed(address)
    member = socket.socket(family, socket.SOCK_STREAM)
    try:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            member.setsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, UNREACHED)
        if family == socket.AF_INET or host == "::":
            member.setsockopt(socket.IPPROTO_IP, IP_MINTTL, UNREACHED)
        member.bind((host, port))
        member.listen()
    except OSError:
        member.close()
        raise
    return member


def _parsed(address: str) -> tuple[socket.AddressFamily, str, int]:
    """Raises ValueError for what is no ``host:port``, and for all addresses of IPv6: whether those of IPv4
    are among them is not said, and a socket of the other kind would be in another group."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if host == "::":
        message = "it may be for IPv4 too"
        raise ValueError(message)
    host = host or "::"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.inet_pton(family, host)
    return family, host, int(port)
