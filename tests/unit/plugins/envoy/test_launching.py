"""What is started: Envoy in our place, or beside our xDS server."""

from __future__ import annotations

import json

import pytest

from connect_proxy.errors import MissingProgramError
from connect_proxy.plugin_api import ChildLaunch, ExecLaunch, RenderedConfig
from connect_proxy_envoy.bootstrap import render
from connect_proxy_envoy.launching import launch
from support.envoy_context import context, facts


def test_with_the_agents_xds_envoy_takes_our_place() -> None:
    asked = context(token="s3cret", environment={"CONSUL_HTTP_TOKEN": "s3cret", "HOME": "/"})
    how = launch(asked, render(asked))
    assert isinstance(how, ExecLaunch)
    assert how.env == {"HOME": "/"}
    [document] = how.documents
    assert document.placeholder in how.argv
    assert b"s3cret" in document.content
    assert "s3cret" not in repr(how)


def test_with_local_xds_envoy_is_a_child_beside_a_companion_and_has_no_token() -> None:
    asked = context(host=facts(grpc=None), token="s3cret", environment={"CONSUL_HTTP_TOKEN": "s3cret"})
    how = launch(asked, render(asked))
    assert isinstance(how, ChildLaunch)
    assert how.companion is not None
    assert how.companion.status() == {"state": "not started"}
    assert how.runtime_dir
    assert b"s3cret" not in how.documents[0].content


def test_what_an_extension_made_of_the_config_is_what_envoy_gets() -> None:
    asked = context()
    for document, content in (({"mine": [1]}, b'{"mine": [1]}'), (b"raw", b"raw")):
        how = launch(asked, RenderedConfig(document=document))
        assert isinstance(how, ExecLaunch)
        assert how.documents[0].content == content


def test_the_document_is_json() -> None:
    asked = context()
    how = launch(asked, render(asked))
    assert isinstance(how, ExecLaunch)
    assert json.loads(how.documents[0].content)["node"]["id"] == "test-proxy"


def test_without_a_program_nothing_can_be_started() -> None:
    asked = context(host=facts(program=None))
    with pytest.raises(MissingProgramError, match="-bootstrap"):
        launch(asked, render(asked))
