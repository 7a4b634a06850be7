"""How the C library keeps memory."""

from __future__ import annotations

import contextlib
import ctypes


def keep_freed_memory() -> None:
    """Have glibc keep memory that is freed, of tens of megabytes too, for the next tensor.

    It gives large blocks back at once, and each page of the next one costs a fault: a seventh of the time of a network.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, another system
        mallopt = ctypes.CDLL(None).mallopt
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, (1 << 31) - 1)
