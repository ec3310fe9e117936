"""What went wrong in TLS to the agent, told so that somebody can act on it. Pure.

A module of its own: who reaches the agent in the clear needs no :mod:`ssl`, which is not small.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.answers import wrong_scheme
from connect_proxy.consul.unreachable import told
from connect_proxy.errors import AgentUnreachableError

NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
"""OpenSSL's reasons for an answer that is no TLS: which one depends on its version."""
CERTIFICATE_WANTED: Final = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")
"""Alerts of an agent that verifies its clients."""

BUSY: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""No failures: how the TLS engine asks for more bytes, seen as the context of what happened then."""


def without_busy(causes: Sequence[BaseException]) -> list[BaseException]:
    """*causes* without those that are no failures."""
    return [cause for cause in causes if not isinstance(cause, BUSY)]


def failure(causes: Sequence[BaseException], access: AgentAccess) -> AgentUnreachableError | None:
    """The error for the nearest of *causes* that is TLS's; None if there is none."""
    cause = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if cause is None:
        return None
    reason = str(cause.reason or "").upper()
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = cause.verify_message
        if "match" in said.lower():
            remedy = "set -tls-server-name or CONSUL_TLS_SERVER_NAME to a name in its certificate"
        else:
            remedy = "set -ca-file or CONSUL_CACERT to the CA that signed it"
        return told(f"its certificate is not accepted: {said}", remedy, access)
    if any(known in reason for known in NOT_TLS):
        return wrong_scheme(access)
    if any(known in reason for known in CERTIFICATE_WANTED):
        what = f"it refused the TLS handshake ({reason.lower()})"
        return told(what, "it may want -client-cert and -client-key of its own CA", access)
    return told(f"TLS failed: {reason.lower() or cause}", "check the agent's TLS settings", access)
