"""What a proxy is started with."""

from connect_proxy.managed.assignment import inherited


def test_of_the_agents_environment_only_what_is_documented_is_handed_on() -> None:
    agents = {
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "CONSUL_HTTP_TOKEN": "secret",
        "CONNECT_PROXY_TOKEN": "secret",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "LD_PRELOAD": "/tmp/x.so",
        "SOMETHING": "else",
    }
    assert inherited(agents) == {"PATH": "/usr/bin", "LANG": "C.UTF-8"}
