import json
import logging
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.managed.api.services import ApiServices, decoded
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.managed.wanted import wanted_proxies
from connect_proxy.secret import NO_SECRET, Secret
from support.managed_definitions import configuration, managed_service

TOKEN = "5f8a2f7e-7c1c-4f43-8d57-3d9c8d5a6f10"


def body(name: str = "web", **more: object) -> str:
    connect = {"Proxy": {"Command": ["/usr/bin/my-proxy"], "Config": {"token": "the user's own"}}}
    return json.dumps({"Name": name, "Port": 8080, "Connect": connect, **more})


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    folder = DataDirectory(path=tmp_path / "data")
    folder.lock()
    return folder


def test_they_outlive_the_agent_without_any_acl_token(directory: DataDirectory) -> None:
    checks = [{"TTL": "10s", "Token": TOKEN}]
    text = body(Token=TOKEN, Checks=checks, Meta={"token": "the user's own"})
    ApiServices(directory).put(decoded(text, token=Secret(TOKEN)))
    on_disk = directory.services_path.read_text()
    assert TOKEN not in on_disk
    assert directory.services_path.stat().st_mode & 0o777 == 0o600
    found = ApiServices(directory).find("web")
    assert found is not None
    assert found.definition.token == NO_SECRET
    assert found.definition.body["Meta"] == {"token": "the user's own"}
    assert found.definition.proxy is not None
    assert found.definition.proxy.command == ("/usr/bin/my-proxy",)
    assert found.definition.proxy.config == {"token": "the user's own"}


def test_without_a_data_directory_they_end_with_the_agent() -> None:
    services = ApiServices(None)
    services.put(decoded(body()))
    assert services.find("web") is not None
    assert ApiServices(None).find("web") is None


def test_what_is_discarded_does_not_come_back(directory: DataDirectory) -> None:
    services = ApiServices(directory)
    services.put(decoded(body()))
    assert services.discard("web")
    assert not services.discard("web")
    assert ApiServices(directory).find("web") is None


def test_the_files_come_first_and_what_they_define_is_forgotten(
    directory: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    services = ApiServices(directory)
    services.put(decoded(body("web")))
    services.put(decoded(body("db")))
    files = configuration(managed_service("web", port=9090))
    assert [(one.id, one.port) for one in services.over(files).services] == [("web", 9090), ("db", 8080)]
    services.forget_defined(files)
    assert "its registration by the API is forgotten" in caplog.text
    assert [one.id for one in ApiServices(directory).over(configuration()).services] == ["db"]


def test_what_clashes_with_the_files_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    services = ApiServices(None)
    services.put(decoded(body("web")))
    services.put(decoded(body("db")))
    files = configuration(managed_service("web-proxy", port=1, proxied=False))
    assert [one.id for one in services.over(files).services] == ["web-proxy", "db"]
    assert "service 'web', registered by the API, is left out" in caplog.text


def test_the_proxy_is_not_given_the_token_that_registered_it() -> None:
    services = ApiServices(None)
    services.put(decoded(body(), token=Secret(TOKEN)))
    [proxy] = wanted_proxies(services.over(configuration()))
    assert (proxy.token, proxy.from_api) == (NO_SECRET, True)


def test_one_that_cannot_be_read_any_more_takes_no_other_along(
    directory: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    directory.write_services([{"Name": "web", "Prot": 1}, json.loads(body("db"))])
    with caplog.at_level(logging.ERROR):
        services = ApiServices(directory)
    assert services.find("web") is None
    assert services.find("db") is not None
    assert 'unknown key "Prot"' in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"version": 9, "services": []}', '{"version": 1}'])
def test_a_file_that_is_none_of_ours_is_named(directory: DataDirectory, text: str) -> None:
    directory.services_path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"services\.json' cannot be used"):
        ApiServices(directory)
