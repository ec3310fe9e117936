"""A verb of the command line: its name, its flags, what its help says."""

from __future__ import annotations

from collections.abc import Sequence

from connect_proxy.settings.setting import Setting


class VerbCommand:
    """One verb and its flags. Its help is made by :mod:`connect_proxy.cli.help_page`."""

    def __init__(
        self, name: str, rows: Sequence[Setting], *, usage: str, summary: str, own: str = ""
    ) -> None:
        """*own*: the heading of flags that belong to no group."""
        self.name, self.rows = name, tuple(rows)
        self.usage, self.summary = usage, summary
        self.own = own or "Options"
