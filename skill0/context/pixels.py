"""From a page's pixels to what Qwen2.5-VL's vision encoder takes, bit-equal to the installed image processor.

Because a page's sides are multiples of 28 within the processor's limits, its resize does nothing, and what is
left is a table over the 256 grey levels of each channel and a reordering into patches: 14 x 14 pixels, four
patches (2 x 2) of one visual token in a row, each patch twice (one image stands for two video frames).
Tested against `Qwen2VLImageProcessorPil` by tests/context/test_pixels.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

PATCH_SIDE, MERGE, FRAMES, CHANNELS = 14, 2, 2, 3
PATCH_VALUES = CHANNELS * FRAMES * PATCH_SIDE**2
"""Floats per patch: 1176."""

_PATCH_ROW = np.dtype(f"V{4 * PATCH_SIDE}")

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's statistics, which Qwen2.5-VL keeps."""


@lru_cache(maxsize=1)
def normalisation_table() -> np.ndarray:
    """Float value of each grey level, `(channels, 256)` float32, rounded where the processor rounds."""
    rescaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)  # (256,)
    mean = np.array(IMAGE_MEAN, np.float32)[:, None]
    std = np.array(IMAGE_STD, np.float32)[:, None]
    table = (rescaled[None] - mean) / std  # (channels, 256)
    table.setflags(write=False)
    return table


def grid_of(height: int, width: int) -> tuple[int, int, int]:
    """`image_grid_thw` of an image: one frame pair, and patches down and across."""
    return 1, height // PATCH_SIDE, width // PATCH_SIDE


def normalised(image: np.ndarray) -> np.ndarray:
    """An image `(..., 3)` uint8 as the planes the encoder sees, `(3, ...)` float32."""
    return np.stack([values[image[..., channel]] for channel, values in enumerate(normalisation_table())])


def fill_patches(planes: Iterable[np.ndarray], out: np.ndarray) -> None:
    """Writes three planes `(height, width)` float32 into `out` `(patches, 1176)` in the encoder's order.

    Rows of 14 floats are moved whole: numpy copies few long elements faster than many short ones.
    """
    for channel, plane in enumerate(planes):
        height, width = plane.shape
        down, across = height // (PATCH_SIDE * MERGE), width // (PATCH_SIDE * MERGE)
        rows = plane.reshape(-1, PATCH_SIDE).view(_PATCH_ROW)  # (height * width / 14, 1)
        blocks = rows.reshape(down, MERGE, PATCH_SIDE, across, MERGE).transpose(0, 3, 1, 4, 2)
        patches = out.view(_PATCH_ROW).reshape(down, across, MERGE, MERGE, CHANNELS, FRAMES, PATCH_SIDE)
        for frame in range(FRAMES):
            patches[:, :, :, :, channel, frame] = blocks
