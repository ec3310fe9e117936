"""Ids as names of files."""

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.managed.file_names import LONGEST_ID, socket_name, stem

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=LONGEST_ID)


@given(IDS)
def test_a_name_never_leaves_the_folder_fits_a_socket_and_is_the_same_for_what_is_a_name(id_: str) -> None:
    assert "/" not in stem(id_)
    assert stem(stem(id_)) == stem(id_)
    assert socket_name(stem(id_)) == socket_name(id_)
    assert len(f"/proc/self/fd/123456/{socket_name(id_)}".encode()) <= 107


@given(IDS, IDS)
def test_two_ids_have_two_names(one: str, other: str) -> None:
    if stem(one) != stem(other):
        assert socket_name(one) != socket_name(other)


def test_common_ids_are_found_by_their_name() -> None:
    assert (stem("web-proxy"), socket_name("web-proxy")) == ("web-proxy", "web-proxy.sock")
    assert stem("host/web-proxy") == "host%2Fweb-proxy"
