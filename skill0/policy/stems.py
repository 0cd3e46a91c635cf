"""Prompts that show the same page begin alike: their common beginning, the *stem*, is computed once.

A prompt's stem reaches up to its last image placeholder, and in a rollout group or a micro-batch there are
far fewer stems than prompts. The official model runs twice: over the distinct stems, then over the rest of
every prompt, whose layers find the keys and values of its stem in the cache. Columns of the second pass:

    stem, padded on the right | what follows it

What follows is padded on the left where a reply is to be written behind it, so that all end in the last
column; on the right where the reply is known: it stands right behind its prompt, and less is padding. Every
token sees the tokens of its own prompt and completion, at the positions they have there, so numbers and
gradients are those of one pass over whole rows, up to rounding; tests/policy/test_decoding.py,
tests/training/test_shared_pass.py.

Left out: sliding windows, which count columns, padding included; and attention kernels whose handling of
padding inside a row nobody has checked (`can_share_stems` says no to both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

from skill0.context import Page
from skill0.context.tensors import Pixels, pixel_tensors

CHECKED_ATTENTION = ("sdpa", "eager")


def can_share_stems(model: Any) -> bool:
    """Whether the model's attention allows for padding inside a row."""
    text = model.config.get_text_config()
    layers = getattr(text, "layer_types", None) or ("full_attention",)
    return text._attn_implementation in CHECKED_ATTENTION and set(layers) == {"full_attention"}


def stem_length(prompt: Sequence[int], image_token_id: int) -> int:
    """Tokens up to the last image placeholder; the first token alone where there is none."""
    for position in range(len(prompt) - 1, -1, -1):
        if prompt[position] == image_token_id:
            return position + 1
    return 1


def has_stem(prompt: Sequence[int], image_token_id: int) -> bool:
    """Whether something is left of the prompt behind its stem; what is drawn begins with its last token."""
    return len(prompt) > stem_length(prompt, image_token_id)


@dataclass(frozen=True)
class Stems:
    """The stems of some prompts, computed: in `cache`, a row for each prompt.

    `mask` int64 (rows, longest stem); `next_position` int64 (rows,), that of the token behind the stem;
    `rests`, what is left of each prompt.
    """

    cache: Any
    mask: torch.Tensor
    next_position: torch.Tensor
    rests: Sequence[Sequence[int]]

    def followed_by(self, tails: Sequence[Sequence[int]], pad_token_id: int, *, left: bool) -> dict[str, Any]:
        """Keyword arguments of the model for what follows each stem, padded `left` or right."""
        device = self.mask.device
        ids, mask = (part.to(device) for part in padded(tails, pad_token_id, left=left))  # (rows, columns)
        positions = self.next_position[:, None] + mask.cumsum(dim=1) - 1  # (rows, columns)
        return {
            "input_ids": ids,
            "attention_mask": torch.cat([self.mask, mask], dim=1),  # (rows, stem and tail columns)
            "position_ids": positions.clamp(min=0).expand(3, -1, -1),
            "past_key_values": self.cache,
            "use_cache": True,
        }


def run_stems(
    forward: Callable[..., Any],
    model: Any,
    prompts: Sequence[Sequence[int]],
    pages: Sequence[Page | None],
    cache: Any,
    *,
    pad_token_id: int,
    image_token_id: int,
    pixels: Pixels = pixel_tensors,
) -> Stems:
    """Run `forward` over the distinct stems of some prompts, into `cache`.

    `forward` is `model` itself, possibly wrapped by PEFT, or its backbone `model.model`. Every prompt needs
    `has_stem`.
    """
    device = next(model.parameters()).device
    lengths = [stem_length(prompt, image_token_id) for prompt in prompts]
    distinct: dict[tuple[tuple[int, ...], Page | None], int] = {}
    stem_of = [
        distinct.setdefault((tuple(prompt[:length]), page), len(distinct))
        for prompt, length, page in zip(prompts, lengths, pages, strict=True)
    ]
    ids, mask = padded([stem for stem, _ in distinct], pad_token_id, left=False)  # both (stems, longest)
    ids, mask = ids.to(device), mask.to(device)
    images = image_inputs(model, [page for _, page in distinct], pixels)
    positions, deltas = _backbone(model).get_rope_index(
        ids,
        mm_token_type_ids=((ids == image_token_id) & mask.bool()).long(),
        image_grid_thw=images.pop("image_grid_thw", None),
        attention_mask=mask,
    )  # (3, stems, longest), (stems, 1)
    forward(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
        **images,
    )  # fmt: skip
    rows = torch.tensor(stem_of, device=device)  # (rows,)
    cache.batch_select_indices(rows)
    return Stems(
        cache=cache,
        mask=mask[rows],
        next_position=(mask.sum(1) + deltas[:, 0])[rows],
        rests=[prompt[length:] for prompt, length in zip(prompts, lengths, strict=True)],
    )


def image_inputs(model: Any, pages: Sequence[Page | None], pixels: Pixels = pixel_tensors) -> dict[str, Any]:
    """Image features per page in the order of the prompts, each different page encoded once."""
    shown = [page for page in pages if page is not None]
    if not shown:
        return {}
    device = next(model.parameters()).device
    different = {page: position for position, page in enumerate(dict.fromkeys(shown))}
    values, grids = pixels(list(different), device)
    features = model.get_image_features(values, grids, return_dict=True).pooler_output
    order = [different[page] for page in shown]
    encoded: Any = BaseModelOutputWithPooling()
    encoded.pooler_output = tuple(features[position] for position in order)
    return {"image_grid_thw": grids[order], "mm_encoder_outputs": {"image": encoded}}


def padded(
    sequences: Sequence[Sequence[int]], pad_token_id: int, *, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both int64 (rows, longest), on the CPU."""
    longest = max(len(sequence) for sequence in sequences)
    gaps = [longest - len(sequence) for sequence in sequences]
    rows = zip(sequences, gaps, strict=True)
    if left:
        ids = [[pad_token_id] * gap + list(sequence) for sequence, gap in rows]
        mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
    else:
        ids = [list(sequence) + [pad_token_id] * gap for sequence, gap in rows]
        mask = [[1] * (longest - gap) + [0] * gap for gap in gaps]
    return torch.tensor(ids), torch.tensor(mask)


def _backbone(model: Any) -> Any:
    return next(module for module in model.modules() if isinstance(module, Qwen2_5_VLModel))
