"""A value that must not be seen: ACL tokens, private keys, passwords."""

from __future__ import annotations

from typing import Final

MASK: Final = "<hidden>"


class Secret:
    """Text that shows itself only to :meth:`reveal`.

    ``str()``, ``repr()`` and formatting give ``<hidden>``, pickling is refused. An empty secret is
    falsy: "no token" is ``Secret("")``.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the wire, never for logs, argv, exceptions or files that stay."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({MASK if self._text else ''!r})"

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        message = "a secret is not pickled"
        raise TypeError(message)


NO_SECRET: Final = Secret()
