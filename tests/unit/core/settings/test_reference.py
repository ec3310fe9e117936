"""The reference page, as it is written from the table."""

import subprocess
import sys

from connect_proxy.settings.fields import CORE
from connect_proxy.settings.reference import page


def test_every_row_of_the_table_stands_on_the_page_once() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ") and "|" in line[2:]]
    for setting in CORE:
        assert len([row for row in rows if f" {setting.help.replace('|', chr(92) + '|')}" in row]) == 1


def test_what_is_no_flag_and_what_is_no_key_is_said() -> None:
    by_name = {
        line.split("|")[2].strip(): line for line in page().splitlines() if line.startswith("| none")
    }
    assert "`http-auth`" in by_name["`CONSUL_HTTP_AUTH`"]
    bootstrap = next(line for line in page().splitlines() if line.startswith("| `-bootstrap`"))
    assert bootstrap.split("|")[3].strip() == "no"


def test_the_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "connect_proxy.settings.reference"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == page()
