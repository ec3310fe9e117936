"""Where the real Consul comes from: the machine's own Debian mirror, and what is said without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import real_parts
from support.real_parts import (
    DebianSource,
    RealPartMissingError,
    consul_binary,
    debian_sources,
    envoy_binary,
)


def _sources(folder: Path, name: str, text: str) -> list[DebianSource]:
    path = folder / "sources.list.d" / name if name != "sources.list" else folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return debian_sources(folder)


def test_a_deb822_source_is_read(tmp_path: Path) -> None:
    text = """
Types: deb
# the mirror nearest to us
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
    (source,) = _sources(tmp_path, "debian.sources", text)
    assert source.uri == "http://mirror.example/debian"
    assert source.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_a_key_inside_a_deb822_source_is_kept(tmp_path: Path) -> None:
    text = """Types: deb
URIs: http://mirror.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""
    (source,) = _sources(tmp_path, "debian.sources", text)
    assert source.signed_by.splitlines()[1:3] == [" -----BEGIN PGP PUBLIC KEY BLOCK-----", " ."]
    assert "Suites: bullseye\n" in source.stanza(source.signed_by)


@pytest.mark.parametrize(
    ("line", "signed_by"),
    [
        ("deb http://mirror.example/debian bookworm main", ""),
        ("deb [arch=amd64] http://mirror.example/debian/ stable main contrib  # ours", ""),
        (
            "deb [ signed-by=/k/a.gpg,/k/b.gpg arch=amd64 ] http://m.example/debian sid main",
            "/k/a.gpg /k/b.gpg",
        ),
    ],
)
def test_a_one_line_source_is_read(tmp_path: Path, line: str, signed_by: str) -> None:
    (source,) = _sources(tmp_path, "sources.list", f"# comment\n{line}\n")
    assert source.signed_by == signed_by
    assert source.uri.rstrip("/").endswith("/debian")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.list", "deb-src http://mirror.example/debian bookworm main"),
        ("a.list", "#deb http://mirror.example/debian bookworm main"),
        ("a.list", "deb http://vendor.example/debian vendor-bookworm main"),
        ("a.list", "deb http://vendor.example/linux bookworm stable"),
        ("a.list", "deb http://mirror.example/debian-security bookworm-security main"),
        ("a.list.save", "deb http://mirror.example/debian bookworm main"),
        (
            "a.sources",
            "Enabled: no\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main",
        ),
    ],
)
def test_what_is_no_debian_source_is_left_alone(tmp_path: Path, name: str, text: str) -> None:
    assert _sources(tmp_path, name, text + "\n") == []


def test_debians_own_path_comes_before_other_vendors(tmp_path: Path) -> None:
    _sources(tmp_path, "a-vendor.list", "deb http://vendor.example/apt bookworm main\n")
    found = _sources(tmp_path, "debian.list", "deb http://mirror.example/debian bookworm main\n")
    assert [source.uri for source in found] == ["http://mirror.example/debian", "http://vendor.example/apt"]


def test_without_apt_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CONNECT_PROXY_PARTS", str(tmp_path / "parts"))
    with pytest.raises(RealPartMissingError) as failure:
        consul_binary()
    for words in ("Consul 1.8.7", "'apt-get'", "Debian", str(tmp_path / "parts" / "consul-1.8.7")):
        assert words in str(failure.value)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [".consul-1.8.7.lock"]


def test_a_program_that_is_already_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CONNECT_PROXY_PARTS", str(tmp_path))
    program = tmp_path / "consul-1.8.7" / "usr" / "bin" / "consul"
    program.parent.mkdir(parents=True)
    program.touch()
    assert consul_binary() == program


def test_an_envoy_that_is_not_supported_is_refused() -> None:
    with pytest.raises(RealPartMissingError, match=r"'1\.2'.*1\.36.*1\.40"):
        envoy_binary("1.2")


def test_several_at_once_fetch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_PROXY_PARTS", str(tmp_path))
    fetched: list[Path] = []

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        (folder / "program").write_text("x")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: real_parts._once("part", "program", fetch), range(8)))
    assert set(found) == {tmp_path / "part" / "program"}
    assert len(fetched) == 1


def test_a_failed_fetch_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECT_PROXY_PARTS", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "program").write_text("half")
        message = "cut"
        raise RealPartMissingError(message)

    with pytest.raises(RealPartMissingError):
        real_parts._once("part", "program", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".part.lock"]


def test_the_command_names_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert real_parts.main(["nomad"]) == 2
    assert "'nomad'" in capsys.readouterr().err
    assert real_parts.main([]) == 2
