"""Turn batching: from turns, which carry token ids and a light page, to the tensors a training step needs.

A turn keeps its page as glyph ids; pixels are made here, for one micro-batch at a time, and are gone after
it. Prompts are padded on the left and completions on the right, so that every completion of a batch starts
in the same column. Names of the tensors are TRL's, because TRL's loss reads them.

Left out on purpose: packing several turns into one row. Sorting by length before cutting into
micro-batches removes most of the padding that packing would, without touching attention masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from skill0.context.tensors import Pixels, pixel_tensors
from skill0.policy.stems import padded

if TYPE_CHECKING:
    from skill0.agent import Turn


def turn_length(turn: Turn) -> int:
    """Tokens of a turn: prompt (visual tokens included) plus completion."""
    return len(turn.prompt_ids) + len(turn.completion_ids)


def length_sorted_batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Cut positions 0..len(lengths)-1 into micro-batches of at most `size`, neighbours in length together.

    The longest come first, so that a batch that does not fit in memory fails at once. Equal lengths keep
    their order, so the cut is the same on every run.
    """
    if size < 1:
        raise ValueError(f"a micro-batch holds at least one turn, got size={size}")
    order = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    return [order[start : start + size] for start in range(0, len(order), size)]


def collate_turns(
    turns: Sequence[Turn],
    *,
    pad_token_id: int,
    image_token_id: int,
    device: torch.device | str = "cpu",
    pixels: Pixels | None = pixel_tensors,
) -> dict[str, Any]:
    """One padded batch of turns, with the keys TRL's `GRPOTrainer` uses.

    Returns a dict of
      `turns`                              the turns themselves;
      `prompt_ids`, `prompt_mask`          int64 (turns, prompt tokens), padded on the left;
      `completion_ids`, `completion_mask`  int64 (turns, completion tokens), padded on the right;
      `mm_token_type_ids`                  int64 (turns, prompt + completion tokens), 1 on image placeholders;
    and `image_tensors`, unless `pixels` is None.

    Raises `ValueError` when there are no turns, when a completion is empty or holds an image placeholder,
    and when a prompt does not hold exactly one placeholder per visual token of its page.
    """
    if not turns:
        raise ValueError("cannot make a batch of no turns")
    for position, turn in enumerate(turns):
        _check_turn(turn, position, image_token_id)

    prompt_ids, prompt_mask = padded([turn.prompt_ids for turn in turns], pad_token_id, left=True)
    completion_ids, completion_mask = padded(
        [turn.completion_ids for turn in turns], pad_token_id, left=False
    )
    token_types = torch.cat(
        [
            (prompt_ids == image_token_id) & prompt_mask.bool(),
            torch.zeros_like(completion_ids, dtype=torch.bool),
        ],
        dim=1,
    )  # (turns, prompt + completion tokens)
    batch = {
        "turns": tuple(turns),
        "prompt_ids": prompt_ids.to(device),
        "prompt_mask": prompt_mask.to(device),
        "completion_ids": completion_ids.to(device),
        "completion_mask": completion_mask.to(device),
        "mm_token_type_ids": token_types.long().to(device),
    }
    return batch if pixels is None else {**batch, **image_tensors(turns, device, pixels)}


def image_tensors(
    turns: Sequence[Turn], device: torch.device | str = "cpu", pixels: Pixels = pixel_tensors
) -> dict[str, Any]:
    """The turns' pages as TRL's `GRPOTrainer` takes them. They may differ in size; equal ones are drawn once.

    Nothing if no turn has a page; else a dict of
      `num_images`      list of 0 or 1 per turn;
      `pixel_values`    float32 (patches of all pages, 1176);
      `image_grid_thw`  int64 (pages, 3).
    """
    pages = [turn.page for turn in turns if turn.page is not None]
    if not pages:
        return {}
    different = {page: number for number, page in enumerate(dict.fromkeys(pages))}
    values, grids = pixels(list(different), device)
    order = [different[page] for page in pages]
    parts = values.split([4 * page.visual_tokens for page in different])  # each (patches of the page, 1176)
    return {
        "num_images": [0 if turn.page is None else 1 for turn in turns],
        "pixel_values": torch.cat([parts[number] for number in order]),
        "image_grid_thw": grids[order],
    }


def _check_turn(turn: Turn, position: int, image_token_id: int) -> None:
    if not turn.completion_ids:
        raise ValueError(f"turn {position} has an empty completion: there is nothing to train on; drop it")
    if image_token_id in turn.completion_ids:
        raise ValueError(
            f"turn {position}: the completion holds the image placeholder {image_token_id}, "
            "which has no page; forbid that token while sampling"
        )
    placeholders = turn.prompt_ids.count(image_token_id)
    visual_tokens = 0 if turn.page is None else turn.page.visual_tokens
    if placeholders != visual_tokens:
        raise ValueError(
            f"turn {position}: the prompt holds {placeholders} image placeholders, but its page has "
            f"{visual_tokens} visual tokens; encode the prompt and the page together"
        )
