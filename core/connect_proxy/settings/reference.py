"""The reference page of the settings, written from their table.

``python -m connect_proxy.settings.reference > docs/reference/settings.md`` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from connect_proxy.settings.fields import CONSUL, CORE, GENERAL
from connect_proxy.settings.setting import Setting, Type

INTRODUCTION: Final = """\
# Settings

<!-- Written by `python -m connect_proxy.settings.reference`: change settings/fields.py, not this page. -->

Each setting is declared once. It can come from four places; the first that says something wins:

1. a **flag**: `-flag value`, `-flag=value`, one dash or two; a boolean is `-flag`, `-flag=false`;
2. an **environment variable**; an empty one counts as not set;
3. a **settings file**, only if named with `-settings FILE`: TOML, its keys are the flags' names, no dashes;
4. the **default**.

A flag that is given empty (`-flag=`) overrides the variable. The last of a repeated flag wins. Flags end at
the first word that is none, or at `--`; what follows `--` belongs to the backend and is not looked at. A
malformed value is an error that names the flag, the variable or the file and key, the value, and what is
accepted: an unparsable `CONSUL_HTTP_SSL_VERIFY` never turns verification off.

A backend brings settings of its own, by the same rules: see its README, or
`connect-proxy run -backend NAME --help`.

Values:

| type | written as |
|---|---|
| boolean | `1 t T TRUE true True` or `0 f F FALSE false False`; in a settings file `true` or `false` |
| integer | decimal digits |
| duration | a number and a unit, also several: `250ms`, `30s`, `1m30s`; units `ns us ms s m h` |
| strings | a flag that may be repeated; in a variable separated by commas; in a settings file a list |
"""

ADDRESS: Final = """\
### The agent's address

| `-http-addr`, `CONSUL_HTTP_ADDR` | means |
|---|---|
| `10.0.0.1:8500`, `[::1]:8500` | that address; HTTPS if `CONSUL_HTTP_SSL` is true |
| `consul.example`, `::1` | port 8500 |
| `:8500` | 127.0.0.1 |
| `http://…`, `https://…` | the scheme beats `CONSUL_HTTP_SSL`; without a port 80 and 443, as in any URL |
| `unix:///run/consul.sock` | a unix socket; all after `unix://` is its path |

### The ACL token

The first of these that says something:

1. `-token-file`
2. `-token` (`-token=` with an empty value means: no token, whatever the environment says)
3. `CONNECT_PROXY_TOKEN`, if it is not empty
4. `CONSUL_HTTP_TOKEN_FILE`
5. `CONSUL_HTTP_TOKEN`
6. `token-file` in the settings file
7. `token` in the settings file

A token file is read whole and trimmed. One that cannot be read is an error, an empty one falls to the next.
A token given as a flag can be read by every user of the host (`ps`), which is warned of.

### Certificates

`-client-cert` and `-client-key` go together: one without the other is an error. Files that are named but
cannot be read are an error, also where TLS turns out not to be used. `-ca-file` wins over `-ca-path`.
"""


def page(rows: Sequence[Setting] = CORE) -> str:
    """The whole page."""
    groups = {group: [row for row in rows if row.group == group] for group in (GENERAL, CONSUL)}
    tables = "\n".join(f"## {group}\n\n{_table(members)}" for group, members in groups.items())
    return f"{INTRODUCTION}\n{tables}\n{ADDRESS}"


def _table(rows: Sequence[Setting]) -> str:
    head = "| flag | variable | settings file | type | default | meaning |\n|---|---|---|---|---|---|\n"
    return head + "".join(f"{_row(row)}\n" for row in rows)


def _row(row: Setting) -> str:
    flag = f"`-{row.name}`" if row.flag else "none"
    variable = f"`{row.env}`" if row.env else ""
    key = f"`{row.name}`" if row.in_file else "no"
    choices = f" One of {', '.join(f'`{choice}`' for choice in row.choices)}." if row.choices else ""
    cells = (flag, variable, key, row.type.value, _default(row), row.help.replace("|", "\\|") + choices)
    return f"| {' | '.join(cells)} |"


def _default(row: Setting) -> str:
    match row.default:
        case None | "" | ():
            return ""
        case bool() as truth:
            return f"`{str(truth).lower()}`"
        case float() as seconds if row.type is Type.DURATION:
            return f"`{seconds:g}s`" if seconds else "`0s`"
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
