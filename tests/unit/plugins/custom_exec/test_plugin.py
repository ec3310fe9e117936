"""The hooks, called as the core calls them."""

import sys

import pytest

from connect_proxy.errors import UsageError
from connect_proxy.mesh.registration import Registration
from connect_proxy.plugin_api import AgentAccess, ProxyContext, ProxyProcess, Secret
from connect_proxy_custom_exec import plugin


def context(*passthrough: str, **environment: str) -> ProxyContext:
    return ProxyContext(
        registration=Registration(id="web-sidecar-proxy", name="web-sidecar-proxy"),
        agent=AgentAccess(token=Secret("t0ken")),
        passthrough=passthrough,
        environment=environment,
    )


def test_the_daemon_gets_its_words_and_its_environment() -> None:
    resolved = context(sys.executable, "-V", HOME="/home", CONNECT_PROXY_TOKEN="stale")
    launch = plugin.launch(resolved, plugin.render_config(resolved))
    assert launch.argv == (sys.executable, "-V")
    assert launch.env["CONNECT_PROXY_TOKEN"] == "t0ken"
    assert launch.env["HOME"] == "/home"
    assert launch.documents == ()


def test_the_token_is_in_no_word_and_no_repr() -> None:
    resolved = context(sys.executable)
    config = plugin.render_config(resolved)
    launch = plugin.launch(resolved, config)
    assert "t0ken" not in f"{launch.argv} {launch!r} {config!r} {resolved!r}"


def test_the_config_is_rendered_without_a_command() -> None:
    assert plugin.render_config(context()).media_type == "application/json"


def test_a_start_without_a_command_is_refused() -> None:
    resolved = context()
    with pytest.raises(UsageError):
        plugin.launch(resolved, plugin.render_config(resolved))


def test_it_is_supervised_by_the_defaults() -> None:
    supervision = plugin.supervise(context(), ProxyProcess(pid=1))
    assert supervision.is_ready is None
    assert supervision.permanent_exit_codes == {126, 127}
    assert supervision.explain_exit is not None
    assert "not found" in supervision.explain_exit(127)
