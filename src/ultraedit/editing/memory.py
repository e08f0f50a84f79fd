"""Keeps a long stream's resident memory flat.

Two things let it grow though no tensor is kept (docs/lab/memory-growth.md).  The C library holds freed pieces between
pieces in use: it is asked to hand them back after every turn.  And torch keeps the last 1,024 kernels that oneDNN
compiled for bfloat16 products of a certain shape, up to 0.6 MB each; their number can be bounded, by environment
variables that oneDNN reads once, which is for a program to set and not for a library.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

KERNELS = 256
"""Compiled kernels to keep: a turn needs about 60 new ones, and finding none of them again costs 10 % of its time."""


def bound_kernel_caches() -> None:
    """Bound oneDNN's caches in this process, unless the user has said otherwise.  Before torch's first product."""
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(KERNELS))


def give_back_freed() -> None:
    """Hand memory that was freed back to the system, where the C library can be asked to (glibc)."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no None
        return None
