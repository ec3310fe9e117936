"""How many files may be open: each connection needs two descriptors."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger("connect_proxy.builtin")


def raise_descriptor_limit() -> int:
    """Lift the soft limit to the hard one; the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as exc:  # macOS: the kernel's own limit may be lower
            log.warning("the limit of open files stays %d: %s", soft, exc)
            return soft
    return hard
