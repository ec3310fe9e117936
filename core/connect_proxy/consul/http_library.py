"""httpx without its command line, which it imports, with rich and pygments, where they are installed.

That would be 5 MiB in every sidecar, and a good part of the time that a start takes.
"""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402

__all__ = ["httpx"]
