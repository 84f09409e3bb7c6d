"""Make glibc keep the memory of freed tensors instead of giving it back to the kernel each time."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1  # from malloc.h
M_MMAP_THRESHOLD = -3
LARGEST = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Reuse freed memory within the process; return whether the C library took the setting.

    Large tensors are otherwise mapped and unmapped on every operation, and the page faults cost more
    than the arithmetic: a training step on a CPU is about three times faster with this, predictions gain
    too. The price is a higher peak memory, so ``debye predict`` leaves it off for very large structures.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl and other C libraries
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, LARGEST))
