from __future__ import annotations

import pytest

from bench.changes import ROWS, main


def test_only_a_run_of_every_row_is_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--write", "page.md", "--only", next(iter(ROWS))])
    assert "--write is for a run of everything" in capsys.readouterr().err


def test_a_row_that_is_not_known_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "weather"])
    said = capsys.readouterr().err
    assert all(row in said for row in ROWS)
