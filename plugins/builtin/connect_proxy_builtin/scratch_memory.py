"""Memory for buffers that are large and mostly empty."""

from __future__ import annotations

import mmap


def scratch_memory(size: int) -> memoryview:
    """*size* bytes that take no memory before something is written there.

    A ``bytearray`` fills itself with zeros: the buffers of one worker would be 1 MiB of an idle sidecar.
    """
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE))
