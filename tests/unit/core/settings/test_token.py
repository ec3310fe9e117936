"""Which ACL token is used."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError
from connect_proxy.settings.setting import Source, Sourced
from connect_proxy.settings.token import TokenChoice, choose_token, read_token_file

ORDER = (
    "-token-file",
    "-token",
    "CONNECT_PROXY_TOKEN",
    "CONSUL_HTTP_TOKEN_FILE",
    "CONSUL_HTTP_TOKEN",
    "file's token-file",
    "file's token",
)


def chosen(said: dict[str, str]) -> TokenChoice:
    """Choose among what is *said*, by the names of :data:`ORDER`."""

    def layer(names: tuple[str, str], source: Source) -> dict[str, Sourced]:
        keys = zip(("token-file", "token"), names, strict=True)
        return {key: Sourced(said[name], source, name) for key, name in keys if name in said}

    return choose_token(
        flags=layer(("-token-file", "-token"), Source.FLAG),
        environment=layer(("CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_TOKEN"), Source.ENVIRONMENT),
        file=layer(("file's token-file", "file's token"), Source.FILE),
        variables={name: said[name] for name in said if name.startswith("CON")},
    )


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, str]:
    """A different token from every place."""
    said = {name: f"token-of-{index}" for index, name in enumerate(ORDER)}
    for index, name in enumerate(ORDER):
        if "file" in name.removeprefix("file's ").lower():
            path = tmp_path / str(index)
            path.write_text(f"  token-of-{index}\n")
            said[name] = str(path)
    return said


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_order(everything: dict[str, str], first: int) -> None:
    choice = chosen({name: everything[name] for name in ORDER[first:]})
    assert choice.token.reveal() == f"token-of-{first}"
    assert choice.origin == ORDER[first]
    assert choice.file == (everything[ORDER[first]] if Path(everything[ORDER[first]]).exists() else "")


def test_without_any_there_is_no_token() -> None:
    assert chosen({}) == TokenChoice()


@pytest.mark.parametrize("name", ["-token-file", "CONSUL_HTTP_TOKEN_FILE", "file's token-file"])
def test_an_empty_file_falls_to_the_next(tmp_path: Path, name: str) -> None:
    path = tmp_path / "empty"
    path.write_text(" \n")
    assert chosen({name: str(path), "CONSUL_HTTP_TOKEN": "next"}).token.reveal() == "next"


def test_an_empty_proxy_token_does_not_mask_consuls_own_variable() -> None:
    choice = chosen({"CONNECT_PROXY_TOKEN": "", "CONSUL_HTTP_TOKEN": "next"})
    assert choice.token.reveal() == "next"


def test_an_empty_token_flag_means_no_token_whatever_the_environment_says() -> None:
    choice = chosen({"-token": "", "CONSUL_HTTP_TOKEN": "next"})
    assert not choice.token
    assert not choice.seen_in_argv


@pytest.mark.parametrize("name", ["-token-file", "CONSUL_HTTP_TOKEN_FILE"])
def test_an_unreadable_file_is_an_error_that_names_it_and_where_it_came_from(
    tmp_path: Path, name: str
) -> None:
    path = str(tmp_path / "nosuch")
    with pytest.raises(ConfigurationError) as refused:
        chosen({name: path, "CONSUL_HTTP_TOKEN": "next"})
    assert f'"{path}" ({name}) cannot be read: No such file' in str(refused.value)


def test_a_file_that_holds_no_token_is_refused_without_repeating_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content in (b"two words", b"two\nlines", b"\xff\xfe\x00", b"x" * 70000):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError) as refused:
            read_token_file(str(path), "-token-file")
        assert "words" not in str(refused.value)
        assert "xxxx" not in str(refused.value)


def test_a_folder_is_no_token_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_token_file(str(tmp_path), "-token-file")


def test_only_a_token_given_as_a_flag_was_seen_in_argv() -> None:
    assert chosen({"-token": "abc"}).seen_in_argv
    assert not chosen({"CONSUL_HTTP_TOKEN": "abc"}).seen_in_argv


def test_a_token_that_fits_no_header_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError, match="CONSUL_HTTP_TOKEN") as refused:
        chosen({"CONSUL_HTTP_TOKEN": "one\r\nX-Injected: two"})
    assert "Injected" not in str(refused.value)


def test_a_settings_files_token_has_to_be_a_string() -> None:
    said = {"token": Sourced(4711, Source.FILE, 'the key "token" of "x"')}
    with pytest.raises(ConfigurationError, match="not a string") as refused:
        choose_token(flags={}, environment={}, file=said, variables={})
    assert "4711" not in str(refused.value)


@given(st.uuids().map(str))
def test_a_choice_never_shows_the_token(token: str) -> None:
    assert token not in repr(chosen({"-token": token}))
