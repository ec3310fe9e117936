"""Golden files: what a renderer gave once and was read over. ``UPDATE_GOLDENS=1`` writes them anew."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connect_proxy.mesh.immutable import thawed

FOLDER = Path(__file__).parents[1] / "golden"

CA_FILE = Path(__file__).with_name("golden_ca.pem")
"""A certificate that Envoy accepts, for goldens that hold one. Its key was thrown away."""


def check_golden(name: str, document: Mapping[str, Any]) -> None:
    """Compare *document* with ``tests/golden/<name>.json``, order of keys included."""
    path = FOLDER / f"{name}.json"
    text = json.dumps(thawed(document), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDENS") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.is_file(), f"{path} is missing: run with UPDATE_GOLDENS=1, read it over, commit it"
    assert text == path.read_text()
