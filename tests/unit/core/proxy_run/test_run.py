"""What -bootstrap prints."""

import json

from connect_proxy.mesh.immutable import frozen
from connect_proxy.plugin_api import RenderedConfig
from connect_proxy.proxy_run.run import printable


def test_secrets_are_masked_unless_the_output_is_to_start_a_proxy_from() -> None:
    document = frozen({"a": [{"token": "s3cr3t", "b/c~d": "too"}], "empty": ""})
    secrets = ("/a/0/token", "/a/0/b~1c~0d", "/empty", "/missing")
    config = RenderedConfig(document=document, secrets=secrets)
    assert json.loads(printable(config)) == {
        "a": [{"token": "<hidden>", "b/c~d": "<hidden>"}],
        "empty": "",
    }
    open_config = RenderedConfig(document=document, secrets=secrets, mask_when_printed=False)
    assert json.loads(printable(open_config))["a"][0]["token"] == "s3cr3t"


def test_bytes_are_printed_as_they_are() -> None:
    assert printable(RenderedConfig(document=b"listen 1\n", media_type="text/plain")) == "listen 1\n"
