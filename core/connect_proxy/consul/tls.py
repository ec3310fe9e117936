"""The TLS context for the agent's HTTPS API, from certificate files named by settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

CA_FILE: Final = "-ca-file (CONSUL_CACERT)"
CA_PATH: Final = "-ca-path (CONSUL_CAPATH)"
CLIENT_CERT: Final = "-client-cert (CONSUL_CLIENT_CERT)"
CLIENT_KEY: Final = "-client-key (CONSUL_CLIENT_KEY)"


def agent_tls_context(access: AgentAccess) -> ssl.SSLContext:
    """What the agent is verified against and what is shown to it.

    Without a CA of its own the system's are trusted, as by Consul's clients. Raises
    ConfigurationError naming setting and path.
    """
    context = ssl.create_default_context()
    # Newer Pythons turn this on; certificates of `consul tls` and of many private CAs lack
    # extensions that it asks for, and every other Consul client takes them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.ca_file or access.ca_path:
        # A private CA replaces the system's: an agent's name must not be provable by strangers.
        context = _without_system_roots(context)
        context.load_verify_locations(cadata=_trusted_pem(access))
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.client_cert or access.client_key:
        _load_client_certificate(context, access)
    return context


def _without_system_roots(system: ssl.SSLContext) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = system.minimum_version
    context.verify_flags = system.verify_flags
    return context


def _trusted_pem(access: AgentAccess) -> str:
    """The certificates of the CA file, or of every file below the CA path (the file wins)."""
    if access.ca_file:
        sources = [(CA_FILE, Path(access.ca_file))]
    else:
        sources = [(CA_PATH, path) for path in _files_below(access.ca_path)]
    found = [(setting, path, _certificates(setting, path)) for setting, path in sources]
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(one.public_bytes(Encoding.PEM).decode() for _, _, all_ in found for one in all_)


def _files_below(directory: str) -> list[Path]:
    """Every file below *directory*, at any depth and under any name, as Consul's clients read it.

    OpenSSL's own directory look-up would only see files named by their hash.
    """
    root = Path(directory)
    if not root.is_dir():
        message = f"{CA_PATH}: '{directory}' is no directory: give one with PEM files of CA certificates"
        raise ConfigurationError(message)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    if not files:
        message = f"{CA_PATH}: '{directory}' holds no file: put PEM files of CA certificates there"
        raise ConfigurationError(message)
    return files


def _load_client_certificate(context: ssl.SSLContext, access: AgentAccess) -> None:
    for given, missing, value in (
        (CLIENT_CERT, CLIENT_KEY, access.client_key),
        (CLIENT_KEY, CLIENT_CERT, access.client_cert),
    ):
        if not value:
            message = (
                f"{given} '{access.client_cert or access.client_key}' is set without {missing}: set both"
            )
            raise ConfigurationError(message)
    certificate = _certificates(CLIENT_CERT, Path(access.client_cert))[0]
    key = _private_key(Path(access.client_key))
    if certificate.public_key() != key.public_key():
        message = (
            f"{CLIENT_KEY}: the key in '{access.client_key}' does not belong to the certificate in "
            f"'{access.client_cert}': give the pair that was made together"
        )
        raise ConfigurationError(message)
    try:
        context.load_cert_chain(access.client_cert, access.client_key)
    except (OSError, ssl.SSLError) as exc:
        message = f"{CLIENT_CERT}: '{access.client_cert}' cannot be used: {exc}"
        raise ConfigurationError(message) from exc


def _certificates(setting: str, path: Path) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_content(setting, path))
    except ValueError as exc:
        message = f"{setting}: '{path}' holds no certificate in PEM form: {exc}"
        raise ConfigurationError(message) from exc


def _private_key(path: Path) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(CLIENT_KEY, path)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as exc:
        message = f"{CLIENT_KEY}: the key in '{path}' is encrypted: give one without a password"
        raise ConfigurationError(message) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        # The parser's own text is left out: nothing that was read from a key belongs in a message.
        message = f"{CLIENT_KEY}: '{path}' holds no private key in PEM form: give an unencrypted one"
        raise ConfigurationError(message) from exc


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        message = f"{setting}: '{path}' cannot be read: {exc.strerror}"
        raise ConfigurationError(message) from exc
