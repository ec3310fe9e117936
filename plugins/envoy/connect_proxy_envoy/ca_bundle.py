"""CA certificates for the agent's gRPC port, as one text."""

from __future__ import annotations

from pathlib import Path

from connect_proxy.errors import ConfigurationError


def read_ca_bundle(*, file: str, directory: str, settings: str) -> str:
    """The PEM of *file*, else of every regular file under *directory* in lexical order.

    Empty if neither is given. Raises ConfigurationError naming *settings* (the flags) and the path.
    """
    if file:
        return _read(Path(file), settings)
    if not directory:
        return ""
    root = Path(directory)
    try:
        files = sorted(path for path in root.rglob("*") if path.is_file())
    except OSError as exc:
        message = f"the CA directory {directory!r} ({settings}) cannot be listed: {exc.strerror}"
        raise ConfigurationError(message) from exc
    if not files:
        message = f"the CA directory {directory!r} ({settings}) holds no certificate"
        raise ConfigurationError(message)
    return "".join(_ending_in_newline(_read(path, settings)) for path in files)


def _read(path: Path, settings: str) -> str:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not PEM text"
        message = f"the CA file {str(path)!r} ({settings}) cannot be read: {reason}"
        raise ConfigurationError(message) from exc
    if "-----BEGIN CERTIFICATE-----" not in text:
        message = f"the CA file {str(path)!r} ({settings}) holds no certificate in PEM"
        raise ConfigurationError(message)
    return text


def _ending_in_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
