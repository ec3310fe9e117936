"""The configurations of Consul's own page on proxies, and what becomes of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.managed.definitions.clashes import clashes
from connect_proxy.managed.definitions.configuration import AgentConfiguration, Origin
from connect_proxy.managed.definitions.decoding import KEYS
from connect_proxy.managed.definitions.files import read_configuration
from connect_proxy.managed.wanted import wanted_proxies
from connect_proxy.secret import Secret

GOLDEN = Path(__file__).parents[3] / "golden" / "agent_configuration"
PAGE = Path(__file__).parents[4] / "docs" / "reference" / "agent-configuration.md"
SAMPLE = re.compile(r"^```(hcl|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
GIVEN = sorted(path for path in GOLDEN.iterdir() if ".expected" not in path.name)


def shown(value: Any) -> Any:
    """As JSON shows it; what has its default is left out."""
    match value:
        case Secret():
            return str(value)
        case Origin():
            return f"{Path(value.file).name}:{value.line}:{value.column}"
        case Mapping():
            return {key: shown(item) for key, item in value.items()}
        case list() | tuple():
            return [shown(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    changed = {}
    for one in dataclasses.fields(value):
        default = one.default_factory() if callable(one.default_factory) else one.default
        if (found := getattr(value, one.name)) != default:
            changed[one.name] = shown(found)
    return changed


def everything(configuration: AgentConfiguration) -> dict[str, Any]:
    said = shown(configuration)
    del said["files"]
    return {"configuration": said, "proxies": shown(wanted_proxies(configuration))}


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """What the tests write is no group's: a machine's umask may say otherwise, and the agent would warn."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.name)
def test_a_configuration_of_the_documentation_means_what_it_always_meant(
    path: Path, tmp_path: Path
) -> None:
    """Look at a difference, then write the file anew from what the assertion shows, if it is wanted."""
    expected = json.loads((GOLDEN / f"{path.stem}.expected.json").read_text())
    # A copy: who checked the repository out may be somebody else than who runs the tests.
    ours = tmp_path / path.name
    ours.write_text(path.read_text())
    assert everything(read_configuration([ours])) == expected


def test_all_of_the_documentation_is_there() -> None:
    assert [path.name for path in GIVEN] == [
        "custom-command.json",
        "default-command.hcl",
        "minimal.json",
        "prepared-query.json",
        "unmanaged.json",
        "upstreams.json",
    ]


@pytest.mark.parametrize("sample", SAMPLE.findall(PAGE.read_text()), ids=lambda sample: sample[0])
def test_a_sample_of_the_page_is_right(sample: tuple[str, str], tmp_path: Path) -> None:
    suffix, text = sample
    (tmp_path / f"sample.{suffix}").write_text(text)
    configuration = read_configuration([tmp_path])
    assert configuration.services
    assert configuration.warnings == ()
    assert clashes(configuration) == ()


@pytest.mark.parametrize("block", KEYS)
def test_every_key_is_on_the_page(block: str) -> None:
    text = PAGE.read_text()
    missing = [name for name in KEYS[block] if f"{name}`" not in text and f"`{name}." not in text]
    assert missing == []
