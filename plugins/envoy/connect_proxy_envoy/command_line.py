"""How Envoy is started: its words and its environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from connect_proxy_envoy.hot_restart import hot_restart_words
from connect_proxy_envoy.program import EnvoyProgram
from connect_proxy_envoy.version import Version

PLACEHOLDER: Final = "{bootstrap}"
SECRET_VARIABLES: Final = frozenset({"CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "CONNECT_PROXY_TOKEN"})

_NO_V2_CONFIG_ONLY: Final = Version(1, 10)
"""Dropped ``--v2-config-only``, and refuses ``/dev/fd`` until the next."""
_DESCRIPTORS_AGAIN: Final = Version(1, 36)
"""The oldest that was seen to take ``/dev/fd/N``."""
_NO_NAME_LIMIT: Final = Version(1, 11)
_NAME_LIMIT: Final = "--max-obj-name-len"


def command_line(program: EnvoyProgram, passthrough: Sequence[str]) -> tuple[str, ...]:
    """argv: ours first, the user's words last and unchanged."""
    words = [program.path]
    if program.version < _NO_V2_CONFIG_ONLY:
        words.append("--v2-config-only")
    words += ["--config-path", PLACEHOLDER, *hot_restart_words(passthrough)]
    if program.version < _NO_NAME_LIMIT and not _has_option(passthrough, _NAME_LIMIT):
        words += [_NAME_LIMIT, "256"]
    return (*words, *passthrough)


def delivery(version: Version) -> str:
    """How the bootstrap reaches this Envoy: by descriptor where it opens one, else by named pipe."""
    if _NO_V2_CONFIG_ONLY <= version < _DESCRIPTORS_AGAIN:
        return "named_pipe"
    return "descriptor"


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Everything but the secrets: what Envoy needs of them is in the bootstrap."""
    return {name: value for name, value in environment.items() if name not in SECRET_VARIABLES}


def _has_option(words: Sequence[str], option: str) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in words)
