"""Which ACL token is used.

Order: ``-token-file``, ``-token``, a non-empty ``CONNECT_PROXY_TOKEN``, ``CONSUL_HTTP_TOKEN_FILE``,
``CONSUL_HTTP_TOKEN``, then the settings file's ``token-file`` and ``token``. A file that is empty (but
for white space) falls to the next; one that cannot be read is an error. ``-token=`` with an empty value
means no token at all, whatever the environment says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.secret import NO_SECRET, Secret
from connect_proxy.settings.fields import PROXY_TOKEN_VARIABLE
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.sources import Layer

_LONGEST: Final = 65536
"""Bytes read of a token file: far above any token, far below what would hurt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenChoice:
    """The token, and where it came from."""

    token: Secret = NO_SECRET
    file: str = ""
    """The file that it was read from, to be read again when it changes; empty if it was no file."""
    origin: str = ""
    """The flag, variable or key; empty if there is no token."""
    seen_in_argv: bool = False
    """It was given as a flag: every user of this host can read it there."""


def choose_token(
    *, flags: Layer, environment: Layer, file: Layer, variables: Mapping[str, str]
) -> TokenChoice:
    """The token that the layers ask for. Reads the token file. Raises ConfigurationError."""
    for name, said in _candidates(flags, environment, file, variables):
        if name == "token-file":
            path = _string(said)
            if token := read_token_file(path, said.origin) if path else NO_SECRET:
                return TokenChoice(token=token, file=path, origin=said.origin)
        elif said.value or said.source is Source.FLAG:
            token = _checked(_string(said), said.origin)
            return TokenChoice(
                token=token, origin=said.origin, seen_in_argv=bool(token) and said.source is Source.FLAG
            )
    return TokenChoice()


def read_token_file(path: str, origin: str) -> Secret:
    """What the token file says, trimmed. Raises ConfigurationError naming the file and its *origin*."""
    try:
        with open(path, "rb") as opened:
            content = opened.read(_LONGEST + 1)
    except (OSError, ValueError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else exc
        message = (
            f'the token file "{path}" ({origin}) cannot be read: {problem}; check the path and its mode'
        )
        raise ConfigurationError(message) from exc
    text = content.strip().decode("latin-1")
    if len(content) > _LONGEST:
        message = f'the token file "{path}" ({origin}) is larger than {_LONGEST} bytes: it holds no token'
        raise ConfigurationError(message)
    return _checked(text, f'{origin} "{path}"')


def _candidates(
    flags: Layer, environment: Layer, file: Layer, variables: Mapping[str, str]
) -> Iterator[tuple[str, Sourced]]:
    """All that may say something, first come first."""
    proxy_token = variables.get(PROXY_TOKEN_VARIABLE, "")
    managed = (
        {"token": Sourced(proxy_token, Source.ENVIRONMENT, PROXY_TOKEN_VARIABLE)} if proxy_token else {}
    )
    for layer in (flags, managed, environment, file):
        for name in ("token-file", "token"):
            if name in layer:
                yield name, layer[name]


def _string(said: Sourced) -> str:
    if isinstance(said.value, str):
        return said.value
    message = f"{said.origin} is not a string; write it in quotes"
    raise ConfigurationError(message)


def _checked(text: str, origin: str) -> Secret:
    """*text* as a secret that fits into an HTTP header. The message does not repeat it."""
    if not (text.isascii() and text.isprintable() and " " not in text):
        message = (
            f"the ACL token from {origin} has spaces, line breaks or other characters that no token has"
        )
        raise ConfigurationError(message)
    return Secret(text)
