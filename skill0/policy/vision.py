"""Less work for Qwen2.5-VL's vision tower, without changing what is computed or saved.

Two savings, both measured on a CPU in docs/policy.md:

- transformers embeds patches by a three-dimensional convolution whose kernel is exactly one patch: a matrix
  product, which a CPU does several times faster than the convolution;
- episodes that run side by side often show the same page. Of equal images in a batch, one goes through the
  tower; gradients of all of them meet in it. Whoever has the pages says which are equal (`equal_pages`), on
  any device; where nobody says, pixels are compared, on a CPU alone.

The changes are to the classes of submodules, not to their parameters: names, state dicts, hooks, deep copies
and `save_pretrained` are those of the official model.

Left out on purpose: batching the attention of images of one size. transformers loops over the images of a
batch, but on a CPU that loop costs 2-4 % of the tower.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel


class MatmulPatchEmbedding(nn.Conv3d):
    """A convolution with stride = kernel over inputs of exactly one kernel's size, as a matrix product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if tuple(input.shape[2:]) != tuple(self.kernel_size):
            return super().forward(input)
        # (patches, 3 * 2 * 14 * 14) x (3 * 2 * 14 * 14, width)
        embedded = nn.functional.linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return embedded[:, :, None, None, None]  # (patches, width, 1, 1, 1)


class SharingVisionTower(Qwen2_5_VisionTransformerPretrainedModel):
    """Qwen2.5-VL's vision tower that encodes each different image of a batch once."""

    first_equal: list[int] | None = None
    """For each image of a batch the first one equal to it, where that is known; see `equal_pages`."""

    def forward(self, hidden_states: torch.Tensor, grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        known = self.first_equal
        if known is None and hidden_states.device.type != "cpu":
            return super().forward(hidden_states, grid_thw=grid_thw, **kwargs)
        if known is not None and len(known) != len(grid_thw):
            raise RuntimeError(f"{len(known)} pages were announced, but the batch has {len(grid_thw)} images")
        images = hidden_states.split(grid_thw.prod(dim=1).tolist())  # each (patches of the image, 1176)
        first = _first_equal(images) if known is None else known
        kept = sorted(set(first))
        if len(kept) == len(images):
            return super().forward(hidden_states, grid_thw=grid_thw, **kwargs)
        output: Any = super().forward(torch.cat([images[i] for i in kept]), grid_thw=grid_thw[kept], **kwargs)
        place = {image: position for position, image in enumerate(kept)}
        order = [place[image] for image in first]
        patches = grid_thw[kept].prod(dim=1)
        output.last_hidden_state = _repeat(output.last_hidden_state, patches, order)
        output.pooler_output = _repeat(output.pooler_output, patches // self.spatial_merge_unit, order)
        return output


@contextlib.contextmanager
def equal_pages(model: Any, pages: Sequence[Hashable]) -> Iterator[None]:
    """In the block, every batch that a model is given shows these pages, one an image: equal ones are encoded
    once, and no pixels are compared. For models whose vision tower is a `SharingVisionTower`, wrapped or not.

    Raises `RuntimeError` inside of the block for a batch with another number of images.
    """
    seen: dict[Hashable, int] = {}
    first = [seen.setdefault(page, position) for position, page in enumerate(pages)]
    towers = [module for module in model.modules() if isinstance(module, SharingVisionTower)]
    for tower in towers:
        tower.first_equal = first
    try:
        yield
    finally:
        for tower in towers:
            tower.first_equal = None


def use_matmul_patch_embedding(model: Any) -> None:
    """Switch the patch embedding of a Qwen2.5-VL model to a matrix product, in place; twice is harmless.

    Equal to the convolution to rounding (1e-5), gradients included; tests/policy/test_vision.py.
    """
    for module in model.modules():
        if type(module) is nn.Conv3d and module.stride == module.kernel_size:
            module.__class__ = MatmulPatchEmbedding


def share_equal_images(model: Any) -> None:
    """Let the vision tower of a Qwen2.5-VL model encode equal images once, in place; twice is harmless.

    On an accelerator only where `equal_pages` says which are equal: comparing images there would make the
    program wait for it.
    """
    for module in model.modules():
        if type(module) is Qwen2_5_VisionTransformerPretrainedModel:
            module.__class__ = SharingVisionTower


def speed_up_vision_on_cpu(model: Any) -> None:
    """Both of the above; `load_policy` does this to models on the CPU."""
    use_matmul_patch_embedding(model)
    share_equal_images(model)


def _first_equal(images: tuple[torch.Tensor, ...]) -> list[int]:
    """For each image the position of the first one equal to it."""
    alike: dict[tuple[int, bytes], list[int]] = {}
    first = []
    for position, image in enumerate(images):
        # A sample of the patches tells nearly all different images apart without reading them whole.
        key = (len(image), image.detach()[::17].float().numpy().tobytes())
        seen = alike.setdefault(key, [])
        same = next((other for other in seen if torch.equal(images[other], image)), None)
        if same is None:
            seen.append(position)
        first.append(position if same is None else same)
    return first


def _repeat(rows: torch.Tensor, lengths: torch.Tensor, order: list[int]) -> torch.Tensor:
    """Rows of several images, `lengths` each, put together in `order`."""
    parts = rows.split(lengths.tolist())
    return torch.cat([parts[i] for i in order])
