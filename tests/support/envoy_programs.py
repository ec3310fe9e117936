"""Programs in Envoy's place, for what a real one of today cannot show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def recording_envoy(folder: Path, version: str = "1.40.0") -> Path:
    """A program in Envoy's place that writes down how it was called (:func:`recorded`), and ends with 7."""
    program = folder / "envoy"
    record = folder / "called.json"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, sys\n"
        "if '--version' in sys.argv:\n"
        f"    print('envoy  version: abcdef/{version}/Clean/RELEASE/BoringSSL')\n"
        "    sys.exit(0)\n"
        "words = sys.argv[1:]\n"
        "read = {}\n"
        "for flag, value in zip(words, words[1:]):\n"
        "    if flag in ('--config-path', '-c', '--config-yaml'):\n"
        "        read[flag] = open(value).read() if flag != '--config-yaml' else value\n"
        f"with open({str(record)!r}, 'w') as out:\n"
        "    json.dump({'argv': words, 'env': dict(os.environ), 'read': read}, out)\n"
        "sys.exit(7)\n"
    )
    program.chmod(0o755)
    return program


def recorded(folder: Path) -> Any:
    """How it was called: ``argv``, ``env``, and what it ``read`` from the files it was pointed to."""
    return json.loads((folder / "called.json").read_text())
