"""What an answer of the agent that is no success means, as an error somebody can act on. Pure."""

from __future__ import annotations

import re
from typing import Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import AgentRequest
from connect_proxy.errors import (
    AgentAnswerError,
    AgentUnreachableError,
    ConsulError,
    NoLeaderError,
    NotFoundError,
    PermissionDeniedError,
    UnknownTokenError,
)
from connect_proxy.secret import MASK

BODY_EXCERPT_LENGTH: Final = 300
HTTP_TO_HTTPS: Final = "client sent an http request to an https server"
"""Go's own answer, status 400, to plain HTTP on a TLS port."""
NO_LEADER: Final = ("no cluster leader", "no known consul servers")
"""A server says the first (after 7 s in which it hopes for one), a client agent may say the second."""
UNKNOWN_ID: Final = re.compile(r"unknown .*\bid\b|(query|service|check|intention) not found", re.IGNORECASE)
"""Consul's texts with status 404. A bare "not found" is said by any server for an unknown path."""
UNKNOWN: Final = ("unknown service", "unknown check")
"""Consul's words, with status 500 or 404, for what is not there to deregister."""

HOW_TO_GIVE_ONE: Final = "give a token with -token-file or CONSUL_HTTP_TOKEN"


def error_of(status: int, body: bytes, *, request: AgentRequest, access: AgentAccess) -> ConsulError:
    """The error that an answer other than 200 stands for.

    Consul wraps errors of its servers ("rpc error making call: …", often with status 500), so the
    known ones are found by their text wherever it stands.
    """
    said = excerpt(body, access)
    text = said.lower()
    failed = f"the Consul agent at '{access.url}' answered {request.endpoint} with {status}"
    if HTTP_TO_HTTPS in text:
        return wrong_scheme(access)
    if "acl not found" in text:
        return UnknownTokenError(_unknown_token(request, access))
    if "permission denied" in text or status == 403:
        return PermissionDeniedError(_permission(said, request, access))
    if any(known in text for known in NO_LEADER):
        message = (
            f"{failed}: '{said}'; the cluster is electing a leader or has lost its majority: try again"
        )
        return NoLeaderError(message, status=status)
    if status == 404 and UNKNOWN_ID.search(text):
        return NotFoundError(f"{failed}: '{said}'; check the id and the agent's address", status=status)
    return AgentAnswerError(f"{failed}: '{said}'; {_advice(status)}", status=status)


def wrong_scheme(access: AgentAccess) -> AgentUnreachableError:
    """Plain HTTP met a TLS port, or the other way round."""
    other = "http" if access.scheme == "https" else "https"
    spoken = "TLS on a port without it" if access.scheme == "https" else "plain HTTP on a TLS port"
    corrected = access.url.replace(f"{access.scheme}://", f"{other}://", 1)
    return AgentUnreachableError(
        f"wrong scheme: the Consul agent at '{access.url}' was spoken to in {spoken}; "
        f"set -http-addr or CONSUL_HTTP_ADDR to '{corrected}' if that is the agent's port"
    )


def excerpt(body: bytes, access: AgentAccess) -> str:
    """The body as one short line for a message, without any secret that a server may echo."""
    # Far more than is shown: a secret must not escape the mask because it was cut in two.
    text = body[: 64 * 1024].decode("utf-8", "replace")
    for secret in (access.token, access.http_auth):
        if secret:
            text = text.replace(secret.reveal(), MASK)
    line = " ".join(text.split())
    printable = "".join(char if char.isprintable() else "?" for char in line)
    cut = len(printable) > BODY_EXCERPT_LENGTH
    return printable[:BODY_EXCERPT_LENGTH] + (" …" if cut else "")


def _unknown_token(request: AgentRequest, access: AgentAccess) -> str:
    if not access.token:
        whose = "none was given, so the agent used its own default token"
    else:
        whose = f"the one in '{access.token_file}'" if access.token_file else "the one given"
    return (
        f"the Consul agent at '{access.url}' does not know the ACL token ({whose}), asked for "
        f"'{request.endpoint}': it was deleted, has expired or is of another cluster; {HOW_TO_GIVE_ONE}"
    )


def _permission(said: str, request: AgentRequest, access: AgentAccess) -> str:
    who = "the ACL token lacks a permission" if access.token else "no ACL token was given and one is needed"
    rule = f"it needs {request.needs}" if request.needs else "see its policies"
    remedy = f"{rule}: grant it to the token's policy" if access.token else f"{rule}: {HOW_TO_GIVE_ONE}"
    return f"{who}: {request.endpoint} at '{access.url}' was refused ('{said}'); {remedy}"


def _advice(status: int) -> str:
    if status == 401:
        return "check -http-auth or CONSUL_HTTP_AUTH"
    if status == 404:
        return "check that this is the address of a Consul agent of version 1.3 or newer"
    if status == 429:
        return "the agent is limiting its clients: try again"
    if 300 <= status < 400:
        return "redirections are not followed: give the address of the agent itself"
    return "see the agent's log"


def says_unknown(exc: ConsulError) -> bool:
    """Whether Consul's answer to a deregistration is that there is no such service or check: 404, or 500
    with its words, as its versions have it."""
    if isinstance(exc, NotFoundError):
        return True
    return isinstance(exc, AgentAnswerError) and any(words in str(exc).lower() for words in UNKNOWN)
