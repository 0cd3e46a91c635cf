"""Files that something happened to, for readers that must notice."""

from __future__ import annotations

import contextlib
import gzip
import zlib

from hypothesis import assume
from hypothesis import strategies as st


@st.composite
def damaged_gzips(draw: st.DrawFn, text: str) -> bytes:
    """A text's gzip with a byte flipped anywhere after the head of ten: in the body, where zlib finds out, or
    behind it. Where that changes nothing that is read, as in codes that the text does not use, no harm is
    done: such are left out."""
    whole = bytearray(gzip.compress(text.encode(), mtime=0))
    whole[draw(st.integers(10, len(whole) - 1))] ^= draw(st.integers(1, 255))
    with contextlib.suppress(OSError, EOFError, zlib.error):
        assume(gzip.decompress(whole) != text.encode())
    return bytes(whole)
