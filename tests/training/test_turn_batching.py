"""Turn batching: what goes into a training step is exactly what was sampled, padded and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skill0.context import ContextRenderer, Page, PageStyle, Segment
from skill0.training.turn_batching import collate_turns, length_sorted_batches

PAD, IMAGE = 0, 9


def page(rows: int) -> Page:
    """A page of `rows` rows of two visual tokens each (a visual token is 28 pixels and 4 patches)."""
    style = PageStyle("7x14", width=56)  # a text row is 14 pixels high: two rows to a visual token
    text = "\n".join("x" * (2 * rows))
    found = ContextRenderer().page([Segment("note", text)], style)
    assert found.visual_tokens == 2 * rows
    return found


@dataclass(frozen=True)
class BareTurn:
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    page: Page | None = None


def collate(*turns: BareTurn) -> dict:
    return collate_turns(turns, pad_token_id=PAD, image_token_id=IMAGE)  # type: ignore[arg-type]


def test_two_turns_with_pages_of_different_size() -> None:
    small = BareTurn((1, *[IMAGE] * 4, 2), (3,), page(2))
    large = BareTurn((1, *[IMAGE] * 6, 2), (4, 5, 6), page(3))
    batch = collate(small, large)

    assert batch["prompt_ids"].tolist() == [[0, 0, 1, 9, 9, 9, 9, 2], [1, 9, 9, 9, 9, 9, 9, 2]]
    assert batch["prompt_mask"].tolist() == [[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8]
    assert batch["completion_ids"].tolist() == [[3, 0, 0], [4, 5, 6]]
    assert batch["completion_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch["mm_token_type_ids"].tolist() == [
        [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    ]
    assert batch["num_images"] == [1, 1]
    # 2 x 2 and 3 x 2 visual tokens, each of 2 x 2 patches.
    assert batch["image_grid_thw"].tolist() == [[1, 4, 4], [1, 6, 4]]
    assert batch["pixel_values"].shape == (16 + 24, 1176)
    for patches, turn in ((batch["pixel_values"][:16], small), (batch["pixel_values"][16:], large)):
        assert turn.page is not None
        assert torch.equal(patches, torch.from_numpy(turn.page.pixel_values()[0]))


def test_a_turn_without_a_page_may_stand_beside_one_with_a_page() -> None:
    batch = collate(BareTurn((1, *[IMAGE] * 4), (2,), page(2)), BareTurn((1, 2, 3), (2,)))
    assert batch["num_images"] == [1, 0]
    assert batch["image_grid_thw"].shape == (1, 3)
    assert batch["mm_token_type_ids"].sum() == 4


def test_without_any_page_there_are_no_pixels() -> None:
    batch = collate(BareTurn((1,), (2,)))
    assert not {"pixel_values", "image_grid_thw", "num_images"} & set(batch)
    assert batch["mm_token_type_ids"].tolist() == [[0, 0]]


def test_a_pad_id_equal_to_the_image_id_is_not_counted_as_an_image() -> None:
    batch = collate_turns(
        [BareTurn((1, 2), (2,)), BareTurn((1,), (2,))],  # type: ignore[list-item]
        pad_token_id=IMAGE,
        image_token_id=IMAGE,
    )
    assert batch["mm_token_type_ids"].sum() == 0


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (BareTurn((1,), ()), "turn 0 has an empty completion"),
        (BareTurn((1,), (IMAGE,)), "completion holds the image placeholder 9"),
        (BareTurn((1, IMAGE), (2,)), "holds 1 image placeholders, but its page has 0"),
        (BareTurn((1, IMAGE), (2,), page(2)), "holds 1 image placeholders, but its page has 4"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error(turn: BareTurn, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collate(turn)


def test_no_turns_is_an_error() -> None:
    with pytest.raises(ValueError, match="no turns"):
        collate()


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 8), min_size=1, max_size=12),
            st.lists(st.integers(1, 8), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_masks_give_back_exactly_the_ids_that_went_in(rows: list[tuple[list[int], list[int]]]) -> None:
    batch = collate(*(BareTurn(tuple(prompt), tuple(completion)) for prompt, completion in rows))
    for row, (prompt, completion) in enumerate(rows):
        assert batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist() == prompt
        assert batch["completion_ids"][row][batch["completion_mask"][row].bool()].tolist() == completion
    # Left and right padding: the last prompt column and the first completion column are always real.
    assert torch.all(batch["prompt_mask"][:, -1] == 1)
    assert torch.all(batch["completion_mask"][:, 0] == 1)


def test_length_sorted_batches_put_neighbours_together_longest_first() -> None:
    # lengths 5 9 1 9 2  ->  order 1, 3 (both 9), 0 (5), 4 (2), 2 (1)
    assert length_sorted_batches([5, 9, 1, 9, 2], 2) == [[1, 3], [0, 4], [2]]
    assert length_sorted_batches([], 2) == []
    with pytest.raises(ValueError, match="size=0"):
        length_sorted_batches([1], 0)
