"""The layers that settings come from: each a mapping from name to what was said there, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from connect_proxy.errors import ConfigurationError
from connect_proxy.settings.setting import Setting, Source, Sourced

Layer = Mapping[str, Sourced]
"""By the setting's name. Values of flags and variables are text, those of a file as TOML typed them."""


def defaults(rows: Sequence[Setting]) -> Layer:
    """What holds where nothing was said."""
    return {row.name: Sourced(row.default, Source.DEFAULT, "default") for row in rows}


def environment(rows: Sequence[Setting], variables: Mapping[str, str]) -> Layer:
    """What *variables* say. An empty one is as good as none, but for rows that say otherwise."""
    return {
        row.name: Sourced(variables[row.env], Source.ENVIRONMENT, row.env)
        for row in rows
        if row.env and row.env in variables and (variables[row.env] or not row.empty_env_is_unset)
    }


def read_settings_file(path: str) -> Mapping[str, object]:
    """The TOML document at *path*. Raises ConfigurationError: unreadable, or not TOML."""
    import tomllib

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        message = (
            f'the settings file "{path}" cannot be read: {exc.strerror}; check the path after -settings'
        )
        raise ConfigurationError(message) from exc
    except UnicodeDecodeError as exc:
        message = f'the settings file "{path}" is not UTF-8 text; write it as TOML'
        raise ConfigurationError(message) from exc
    except tomllib.TOMLDecodeError as exc:
        message = f'the settings file "{path}" is not TOML: {exc}; write each setting as key = "value"'
        raise ConfigurationError(message) from exc


def settings_file(rows: Sequence[Setting], document: Mapping[str, object], path: str) -> Layer:
    """What the settings file says. Raises ConfigurationError naming the nearest for an unknown key."""
    known = {row.name for row in rows if row.in_file}
    for key in document:
        if key not in known:
            raise ConfigurationError(_unknown_key(key, rows, path))
    return {
        key: Sourced(value, Source.FILE, f'the key "{key}" of "{path}"') for key, value in document.items()
    }


def _unknown_key(key: str, rows: Sequence[Setting], path: str) -> str:
    """What to say of a key that is none."""
    if any(row.name == key for row in rows):
        return f'the settings file "{path}" has the key "{key}", which can only be given as the flag -{key}'
    from connect_proxy.settings.suggestion import suggestion

    hint = suggestion(key.lstrip("-").replace("_", "-"), [row.name for row in rows if row.in_file])
    advice = f'did you mean "{hint}"?' if hint else "keys are the flags' names without dashes"
    return f'the settings file "{path}" has the unknown key "{key}"; {advice}'
