"""The engine's C++ library: one copy for each engine that is open, used again when that one is closed.

The library keeps its game in globals, so every engine needs a copy of its own. A copy cannot be unloaded:
after `dlclose` the next `dlopen` crashes the process. So copies are kept for the next engine; otherwise each
engine ever made would hold 2 MB, and 34 MB of temporary space, until the process ends.
"""

from __future__ import annotations

from ctypes import CDLL

import fast_downward

# Taken from and added to by operations that are atomic, so without a lock: see `weakref.finalize` in env.py.
_idle: list[CDLL] = []


def borrow_library() -> CDLL:
    """A copy that no engine uses."""
    try:
        return _idle.pop()
    except IndexError:
        return fast_downward.load_lib()


def return_library(library: CDLL) -> None:
    """Give a copy back. Its engine must not be used afterwards."""
    _idle.append(library)
