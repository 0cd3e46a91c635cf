"""A key-value cache with its room reserved up front, for generation on a CPU.

transformers' default cache concatenates: every new token copies all keys and values of all rows once more,
which on a CPU is about half of a decode step of a small model (docs/policy.md). Here a step writes its own
column. What attention sees, and so every number, is the same.

Left out on purpose: growing beyond the room reserved, and sliding-window layers, which keep the default.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class ReservedLayer(DynamicLayer):
    """One layer's keys and values: `keys` and `values` are views of the part already written."""

    def __init__(self, room: int):
        super().__init__()
        self._room = room

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        rows, heads, _, width = key_states.shape
        self._reserved_keys = key_states.new_empty(rows, heads, self._room, width)
        self._reserved_values = value_states.new_empty(rows, heads, self._room, value_states.shape[-1])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        self._reserved_keys[:, :, start:end] = key_states
        self._reserved_values[:, :, start:end] = value_states
        self.keys = self._reserved_keys[:, :, :end]  # (rows, heads, tokens so far, head width)
        self.values = self._reserved_values[:, :, :end]  # (rows, heads, tokens so far, head width)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if not self.is_initialized:
            return
        written, keys, values = self.get_seq_length(), self._reserved_keys, self._reserved_values
        self._reserved_keys = keys.new_empty(len(indices), *keys.shape[1:])
        self._reserved_values = values.new_empty(len(indices), *values.shape[1:])
        self._reserved_keys[:, :, :written] = keys[indices, :, :written]
        self._reserved_values[:, :, :written] = values[indices, :, :written]
        self.keys = self._reserved_keys[:, :, :written]  # (rows, heads, tokens so far, head width)
        self.values = self._reserved_values[:, :, :written]  # (rows, heads, tokens so far, head width)


def reserved_cache(config: Any, room: int) -> DynamicCache:
    """A cache for `room` tokens a row, prompt and reply together."""
    cache = DynamicCache(config=config)
    cache.layers = [ReservedLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
