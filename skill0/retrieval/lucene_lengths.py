"""Document lengths as Lucene keeps them: one byte each, exact up to 39, then with four significant bits.

`SmallFloat.intToByte4` and `byte4ToInt` of Lucene 7 and later.
"""

from __future__ import annotations

import numpy as np


def _four_bits(number: int) -> int:
    """A float of three mantissa bits behind an implicit one, in as few bits as hold it; subnormal below 8."""
    shift = number.bit_length() - 4
    return number if shift < 0 else ((number >> shift) & 7) | ((shift + 1) << 3)


def _number(code: int) -> int:
    mantissa, shift = code & 7, (code >> 3) - 1
    return mantissa if shift < 0 else (mantissa | 8) << shift


_EXACT = 255 - _four_bits(2**31 - 1)  # 24: so many codes are left over for the shortest lengths

LENGTHS = np.array([code if code < _EXACT else _EXACT + _number(code - _EXACT) for code in range(256)])
"""What each byte stands for.  # (256,) terms"""


def encode_lengths(lengths: np.ndarray) -> np.ndarray:
    """The byte of each length: that of the largest length kept which is no longer.  # (passages,)"""
    return (np.searchsorted(LENGTHS, lengths, side="right") - 1).astype(np.uint8)
