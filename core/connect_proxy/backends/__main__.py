"""``python -m connect_proxy.backends NAME`` loads that backend and says what is wrong with it."""

import sys

from connect_proxy.backends.loading import load_backend
from connect_proxy.errors import ConnectProxyError

if __name__ == "__main__":
    try:
        load_backend(sys.argv[1])
    except ConnectProxyError as error:
        sys.exit(str(error))
