"""Attention weights at single positions, beside any attention implementation.

The warm-up supervises where a few heads look from a few positions. To get all weights of all layers from
transformers one must switch to its eager implementation, which takes a third of a step; here the weights of
the marked positions are computed again from what went into a layer's attention.
Tests: tests/training/test_attention.py, equal to the eager implementation's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb


@dataclass(frozen=True)
class AttentionInputs:
    """What one layer's attention was given: the module, its hidden states (turns, tokens, width), and the
    rotary embedding's cosines and sines."""

    module: Any
    hidden: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor

    def weights(
        self, mask: torch.Tensor, rows: torch.Tensor, queries: torch.Tensor, heads: slice
    ) -> torch.Tensor:
        """The weights that `heads` pay to every position, (marks, heads, tokens).

        Args:
            mask: 1 where there is a token, (turns, tokens).
            rows, queries: int64 (marks,): the turn of each mark and the position that attends.
            heads: which of the layer's heads.
        """
        turns, tokens, _ = self.hidden.shape
        shape = (turns, tokens, -1, self.module.head_dim)
        query = self.module.q_proj(self.hidden).view(shape).transpose(1, 2)
        key = self.module.k_proj(self.hidden).view(shape).transpose(1, 2)
        query, key = apply_rotary_pos_emb(
            query, key, self.cos, self.sin
        )  # (turns, heads, tokens, head width)
        key = key.repeat_interleave(self.module.num_key_value_groups, dim=1)
        asked = query[rows, heads, queries]  # (marks, heads, head width)
        scores = torch.einsum("mhd,mhtd->mht", asked, key[rows, heads]) * self.module.scaling
        before = torch.arange(tokens, device=mask.device) <= queries[:, None]  # (marks, tokens)
        visible = before & mask[rows].bool()  # (marks, tokens)
        return scores.masked_fill(~visible[:, None], -torch.inf).softmax(dim=-1)


@contextmanager
def attention_inputs(model: Any, layers: Iterable[int]) -> Iterator[dict[int, AttentionInputs]]:
    """Fills the dictionary, by layer number, while the model of a Qwen2.5-VL runs forward."""
    found: dict[int, AttentionInputs] = {}

    def keep(number: int) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            cos, sin = kwargs["position_embeddings"]
            found[number] = AttentionInputs(module, kwargs["hidden_states"], cos, sin)

        return hook

    decoder = model.model.language_model.layers
    handles = [
        decoder[number].self_attn.register_forward_pre_hook(keep(number), with_kwargs=True)
        for number in sorted(set(layers))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def middle_layer(model: Any) -> int:
    """The layer that looks facts up and copies names."""
    return len(model.model.language_model.layers) // 2


def halves(heads: int) -> tuple[slice, slice]:
    """A layer's heads in two: those of the middle layer that look up, and those that copy."""
    return slice(0, heads // 2), slice(heads // 2, heads)


@torch.no_grad()
def start_copying(model: Any, layer: int) -> None:
    """Start a layer's attention as one that passes on what it attends to: each head's output map becomes the
    transpose of its value map, and both together nearly the identity. A layer with fewer value heads than
    heads stays as it is."""
    attention = model.model.language_model.layers[layer].self_attn
    if attention.num_key_value_groups == 1:
        attention.o_proj.weight.copy_(attention.v_proj.weight.T)


def passed_on(model: Any, layer: int, heads: slice, states: torch.Tensor) -> torch.Tensor:
    """What a layer's `heads` add to the position that attends to each of some states alone.

    Args:
        states: (states, width), as they come into the layer.

    Returns:
        (states, width).
    """
    block = model.model.language_model.layers[layer]
    attention = block.self_attn
    shape = (len(states), -1, attention.head_dim)
    values = attention.v_proj(block.input_layernorm(states)).view(shape)  # (states, value heads, head width)
    values = values.repeat_interleave(attention.num_key_value_groups, dim=1)  # (states, heads, head width)
    chosen = torch.zeros_like(values)  # (states, heads, head width)
    chosen[:, heads] = values[:, heads]
    return attention.o_proj(chosen.flatten(1))
