"""The agent's files, read and checked as one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from connect_proxy.backends import installed_backends
from connect_proxy.errors import AgentConfigurationError
from connect_proxy.managed.definitions.clashes import clashes
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.definitions.files import read_configuration

log = logging.getLogger("connect_proxy.managed")


def load_configuration(paths: Iterable[Path]) -> AgentConfiguration:
    """What *paths* say. Raises AgentConfigurationError: wrong files, or files that clash."""
    configuration = read_configuration(paths)
    if found := clashes(configuration, backends={backend.name for backend in installed_backends()}):
        raise AgentConfigurationError(found)
    return configuration


def say_warnings(configuration: AgentConfiguration) -> None:
    """Once for every reading of the files, not whenever they are applied again."""
    for warning in configuration.warnings:
        log.warning("%s", warning)
