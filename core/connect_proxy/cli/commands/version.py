"""``connect-proxy --version``: what runs, on what, with which backends and programs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any, Final

from connect_proxy.errors import ConnectProxyError
from connect_proxy.settings.setting import Setting

ROWS: Final = (
    Setting(name="format", default="text", choices=("text", "json"), help="How the versions are written."),
)


def execute(words: Sequence[str]) -> int:
    """Print them; 0, also where a backend is broken, which is said in its place."""
    form = _format(words) if words else "text"  # the bare call is the usual one, and does not load click
    if form == "json":
        import json

        print(json.dumps(versions(), indent=2))
    elif form:
        print(text_of(versions()))
    return 0


def _format(words: Sequence[str]) -> str:
    """What ``-format`` says, empty once the help was printed."""
    from connect_proxy.cli.flags import interpreted, no_words
    from connect_proxy.cli.verb_command import VerbCommand
    from connect_proxy.settings.resolve import resolve
    from connect_proxy.settings.sources import defaults

    summary = "Print the versions of connect-proxy and of what it uses: also connect-proxy --version."
    given = interpreted(words, VerbCommand("version", ROWS, usage="[OPTIONS]", summary=summary))
    if given is None:
        return ""
    no_words(given, "version")
    return resolve(ROWS, (defaults(ROWS), given.layer)).text("format")


def versions() -> dict[str, Any]:
    """All versions, as ``-format json`` writes them."""
    import ssl

    from connect_proxy import __version__
    from connect_proxy.backends import installed_backends

    backends: list[dict[str, Any]] = [
        {"name": one.name, "distribution": one.distribution, "version": one.version} | programs(one.name)
        for one in installed_backends()
    ]
    return {
        "connect-proxy": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "openssl": ssl.OPENSSL_VERSION,
        "platform": f"{platform.system()} {platform.machine()}",
        "backends": backends,
    }


def programs(backend: str) -> dict[str, Any]:
    """What that backend says of the programs it would use, or what is wrong with it."""
    from connect_proxy.backends import load_backend

    try:
        return {"programs": dict(load_backend(backend).describe())}
    except ConnectProxyError as exc:
        return {"programs": {}, "error": str(exc)}


def text_of(facts: dict[str, Any]) -> str:
    """The same for people: the first line is the program's name and version."""
    lines = [
        f"connect-proxy {facts['connect-proxy']}",
        f"Python {facts['python']}",
        facts["openssl"],
        f"on {facts['platform']}",
    ]
    for backend in facts["backends"]:
        lines.append(f"backend {backend['name']} ({backend['distribution']} {backend['version']})")
        lines += [f"  {name}: {found}" for name, found in backend["programs"].items()]
        if "error" in backend:
            lines.append(f"  unusable: {backend['error']}")
    return "\n".join(lines)
