"""``python -m connect_proxy`` is ``connect-proxy``."""

import sys

from connect_proxy.cli.main import main

sys.exit(main())
