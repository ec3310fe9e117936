"""Deeply immutable copies of JSON-like values."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final


class _EmptyMapping(Mapping[str, Any]):
    """Nothing, hashable: Python 3.11 takes no unhashable value as a dataclass field's default."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return hash(())

    def __repr__(self) -> str:
        return "{}"


EMPTY: Final[Mapping[str, Any]] = _EmptyMapping()


def frozen(value: Any) -> Any:
    """*value* with every mapping read-only and every list a tuple, at all depths."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): frozen(item) for key, item in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return tuple(frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """The opposite of :func:`frozen`: plain dicts and lists, as ``json.dumps`` wants them."""
    if isinstance(value, Mapping):
        return {str(key): thawed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [thawed(item) for item in value]
    return value
