"""The overview."""

from connect_proxy.cli.help import overview


def test_commands_stand_in_one_column_with_their_summaries() -> None:
    page = overview({"run": "Run it.", "backends": "List them."})
    assert "\n  run       Run it.\n  backends  List them.\n" in page
    assert max(map(len, page.splitlines())) <= 100
