"""History that flows, and images that are shrunk: by hand, and that neither loses or enlarges anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skill0.context import CELLS, ROLES, ContextRenderer, PageStyle, Segment
from skill0.context.atlas import load_atlas
from skill0.errors import ConfigError

SIXTEEN = PageStyle("7x14", 112, joiner=" | ")
HISTORY = st.lists(
    st.builds(Segment, st.sampled_from(["observation", "action"]), st.text("ab 1.\n", max_size=40)),
    max_size=8,
)


def page(style: PageStyle, *segments: tuple[str, str]):
    return ContextRenderer().page([Segment(*segment) for segment in segments], style)


def test_history_goes_on_where_the_turn_before_ended():
    shown = page(SIXTEEN, ("observation", "one"), ("action", "two"), ("observation", "three four"))
    assert shown.text().split("\n") == ["one | two |", "three four"]
    assert shown.report.segment_rows == ((0, 1), (0, 1), (0, 2))


def test_every_cell_has_the_colour_of_who_speaks():
    shown = page(SIXTEEN, ("observation", "one"), ("action", "two"))
    roles = [ROLES[number] for number in shown.ids[0, :9] // load_atlas("7x14").num_glyphs]
    assert roles == ["observation"] * 3 + ["action"] * 6  # the joiner is the new turn's


def test_lines_within_a_turn_are_joined_too_and_skills_are_not():
    shown = page(SIXTEEN, ("skill", "a\nb"), ("observation", "c\n\nd"), ("note", "e"), ("action", "f"))
    assert shown.text().split("\n") == ["a", "b", "c | d", "e", "f"]


def test_the_oldest_flowing_history_gives_way():
    style = PageStyle("7x14", 112, 14, max_visual_tokens=12, joiner=" | ")  # three rows of 16 characters
    turns = [("observation", f"observation {number}") for number in range(6)]
    shown = page(style, *turns)
    assert shown.text().split("\n") == ["[..4..]", "observation 4 |", "observation 5"]
    assert shown.report.segments_dropped == 4


@given(HISTORY, st.sampled_from(CELLS), st.sampled_from([56, 112, 392]))
def test_flowing_loses_nothing_and_costs_no_more_rows_than_lines_and_joiners(history, cell, width):
    style = PageStyle(cell, width, joiner="|")
    shown = ContextRenderer().page(history, style)
    words = "".join("".join(segment.text for segment in history).split())
    assert "".join(shown.text().split()).replace("|", "") == words
    assert len(shown.ids) <= max(1, len(ContextRenderer().page(history, PageStyle(cell, width)).ids) + 1)


@pytest.mark.parametrize("joiner", ["", "123456789", "é", "\n"])
def test_a_joiner_is_short_and_printable(joiner):
    with pytest.raises(ConfigError, match="joiner"):
        PageStyle(joiner=joiner)


def test_a_factor_shrinks_the_image_by_its_root_a_side():
    style = PageStyle("7x14", compression="resize").compressed(4.0)
    assert (style.cell, style.shrink) == ("7x14", 4.0)
    # Ten rows of 14 pixels, 392 wide: 70 x 196 inked, three rows of seven visual tokens.
    assert style.inked_size(10) == (70, 196)
    assert style.size(10) == (84, 196)
    assert style.visual_tokens(10) == 21
    shown = page(style, ("observation", "x " * 280))
    assert shown.array().shape == (84, 196, 3)
    assert (shown.array()[70:] == 255).all()


def test_a_factor_of_one_changes_nothing():
    plain, style = PageStyle(), PageStyle(compression="resize").compressed(1.0)
    assert np.array_equal(page(plain, ("action", "go")).array(), page(style, ("action", "go")).array())


@given(st.integers(0, 200), st.floats(1, 5), st.floats(1, 5), st.sampled_from([56, 112, 392, 560]))
@example(1, 1.0, 2.0, 112)  # 28 x 112, and 28 x 84, which is made 56 x 84
def test_a_larger_factor_never_costs_more(rows, one, other, width):
    """But for a row of three tokens, which has less than the least area that the image processor takes."""
    small, large = sorted((one, other))
    style = PageStyle(width=width, compression="resize")
    page = style.compressed(large)
    costs_more = page.visual_tokens(rows) > style.compressed(small).visual_tokens(rows)
    assert not costs_more or (page.size(rows) == (56, 84) and page.inked_size(rows)[0] <= 28)


@given(st.floats(1, 5), st.integers(14, 60), st.integers(0, 14))
def test_as_many_rows_as_the_limit_has_room_for(factor, tokens, leading):
    style = PageStyle(leading=leading, max_visual_tokens=tokens, compression="resize").compressed(factor)
    assert style.visual_tokens(style.max_rows) <= style.token_limit
    assert style.inked_size(style.max_rows + 1)[0] > style.token_limit // (style.page_width // 28) * 28


@pytest.mark.parametrize("settings", [{"compression": "zip"}, {"shrink": 0.5}, {"shrink": float("inf")}])
def test_other_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        PageStyle(**settings)
