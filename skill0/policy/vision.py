"""Faster arithmetic for Qwen2.5-VL's vision tower on a CPU, without touching what is computed or saved.

transformers embeds patches by a three-dimensional convolution whose kernel is exactly one patch: a matrix
product, which CPUs do several times faster than the convolution.

The change is to the class of one submodule, not to its parameters: names, state dicts, hooks, deep copies
and `save_pretrained` are those of the official model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class MatmulPatchEmbedding(nn.Conv3d):
    """A convolution with stride = kernel over inputs of exactly one kernel's size, as a matrix product."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if tuple(input.shape[2:]) != tuple(self.kernel_size):
            return super().forward(input)
        # (patches, 3 * 2 * 14 * 14) x (3 * 2 * 14 * 14, width)
        embedded = nn.functional.linear(
            input.flatten(1), self.weight.flatten(1), self.bias
        )  # (patches, width)
        return embedded[:, :, None, None, None]


def use_matmul_patch_embedding(model: Any) -> None:
    """Switch the patch embedding of a Qwen2.5-VL model to a matrix product, in place; twice is harmless.

    Equal to the convolution to rounding (1e-5), gradients included; see tests/policy/test_vision.py.
    """
    for module in model.modules():
        if type(module) is nn.Conv3d and module.stride == module.kernel_size:
            module.__class__ = MatmulPatchEmbedding


def speed_up_vision_on_cpu(model: Any) -> None:
    """All of this module's changes; `load_policy` applies them to models on the CPU."""
    use_matmul_patch_embedding(model)
