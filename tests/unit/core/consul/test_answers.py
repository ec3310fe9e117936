import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.answers import BODY_EXCERPT_LENGTH, error_of, wrong_scheme
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
from connect_proxy.secret import Secret

TOKEN = "5ec5e7c0-ffee-4a11-babe-000000000000"
WITH_TOKEN = AgentAccess(token=Secret(TOKEN))
LEAF = AgentRequest(path="/v1/agent/connect/ca/leaf/web", needs='service:write on "web"')


def said(status: int, body: str, access: AgentAccess = WITH_TOKEN) -> ConsulError:
    return error_of(status, body.encode(), request=LEAF, access=access)


@pytest.mark.parametrize(
    "body",
    [
        "Permission denied",
        "rpc error making call: Permission denied",
        "Permission denied: Missing service:write on web",
    ],
)
@pytest.mark.parametrize("status", [403, 500])
def test_a_missing_permission_names_the_rule(status: int, body: str) -> None:
    error = said(status, body)
    assert isinstance(error, PermissionDeniedError)
    assert error.exit_code == 6
    assert 'service:write on "web"' in str(error)
    assert "grant it" in str(error)


def test_a_missing_permission_without_a_token_says_how_to_give_one() -> None:
    error = said(403, "Permission denied", AgentAccess())
    assert isinstance(error, PermissionDeniedError)
    assert "no ACL token was given" in str(error)
    assert "CONSUL_HTTP_TOKEN" in str(error)


def test_any_other_403_is_a_refusal_too() -> None:
    assert isinstance(
        said(403, "Endpoint is only available to whitelisted networks"), PermissionDeniedError
    )


@pytest.mark.parametrize("body", ["ACL not found", "rpc error making call: ACL not found"])
@pytest.mark.parametrize("status", [403, 500])
def test_an_unknown_token_is_told_apart(status: int, body: str) -> None:
    error = said(status, body)
    assert isinstance(error, UnknownTokenError)
    assert error.exit_code == 6


def test_an_unknown_token_names_the_file_it_came_from() -> None:
    error = said(403, "ACL not found", AgentAccess(token=Secret(TOKEN), token_file="/run/token"))
    assert "'/run/token'" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        "unknown service ID: web",
        'Unknown service ID "web". Ensure that the service ID is passed, not the service name.',
        "unknown proxy service ID: web",
        "Query not found",
    ],
)
def test_an_unknown_id_is_not_found(body: str) -> None:
    error = said(404, body)
    assert isinstance(error, NotFoundError)
    assert error.status == 404


@pytest.mark.parametrize("body", ["404 page not found", "", "Not Found", "<html>Not Found</html>"])
def test_an_unknown_path_is_no_unknown_id(body: str) -> None:
    error = said(404, body)
    assert type(error) is AgentAnswerError
    assert "1.3 or newer" in str(error)


@pytest.mark.parametrize(
    "body", ["No cluster leader", "rpc error making call: No cluster leader", "No known Consul servers"]
)
def test_a_missing_leader_is_worth_another_try(body: str) -> None:
    error = said(500, body)
    assert isinstance(error, NoLeaderError)
    assert "try again" in str(error)


@pytest.mark.parametrize("status", [302, 400, 401, 418, 429, 500, 503])
def test_other_answers_keep_status_and_body(status: int) -> None:
    error = said(status, "No path to\n datacenter")
    assert type(error) is AgentAnswerError
    assert error.status == status
    assert "'No path to datacenter'" in str(error)
    assert "http://127.0.0.1:8500" in str(error)


def test_a_long_or_binary_body_is_trimmed_to_one_printable_line() -> None:
    text = str(said(500, "x\x00\x1b[31m\n" + "y" * 10_000))
    assert len(text) < BODY_EXCERPT_LENGTH + 300
    assert text.isprintable()


@pytest.mark.parametrize("status", [400, 403, 404, 500])
@pytest.mark.parametrize("padding", [0, BODY_EXCERPT_LENGTH - 10, BODY_EXCERPT_LENGTH * 4 - 10])
def test_a_token_that_the_server_echoes_is_masked(status: int, padding: int) -> None:
    text = str(said(status, "z" * padding + f" bad token {TOKEN}"))
    assert TOKEN[:12] not in text


def test_plain_http_on_a_tls_port_is_the_wrong_scheme() -> None:
    error = said(400, "Client sent an HTTP request to an HTTPS server.\n")
    assert isinstance(error, AgentUnreachableError)
    assert "wrong scheme" in str(error)
    assert "'https://127.0.0.1:8500'" in str(error)


def test_tls_on_a_plain_port_is_the_wrong_scheme_too() -> None:
    assert "'http://127.0.0.1:8500'" in str(wrong_scheme(AgentAccess(scheme="https")))
