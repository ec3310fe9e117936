"""The command line."""

from typing import Final

PROGRAM: Final = "connect-proxy"
COMPLETION_VARIABLE: Final = "_CONNECT_PROXY_COMPLETE"
"""Set by the shells' completion scripts; click derives it from the program's name."""
