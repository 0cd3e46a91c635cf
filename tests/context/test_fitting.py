"""Fitting a budget: a smaller cell first, then the oldest history."""

from __future__ import annotations

import pytest

from skill0.context import CELLS, ContextRenderer, PageStyle, Segment
from skill0.errors import ConfigError, RenderError

SKILL = Segment("skill", "Look first.")
HISTORY = [Segment("observation", f"You arrive at cabinet {number}.") for number in range(20)]
EVERYTHING = [SKILL, *HISTORY]
# 21 rows: at 7x14 294 pixels, 11 rows of 14 tokens; at 6x12 252, exactly 9; at 5x10 210, 8; at 5x9 189, 7.
NEEDED = {"7x14": 154, "6x12": 126, "5x10": 112, "5x9": 98}


def fit(budget: int, **settings):
    return ContextRenderer().fit(EVERYTHING, PageStyle("7x14"), budget, **settings)


@pytest.mark.parametrize(
    ("budget", "cell"), [(500, "7x14"), (154, "7x14"), (153, "6x12"), (112, "5x10"), (98, "5x9")]
)
def test_the_largest_cell_in_which_everything_fits(budget, cell):
    fitted = fit(budget)
    assert fitted.page.style.cell == cell
    assert fitted.page.visual_tokens <= budget
    assert fitted.page.report.segments_dropped == 0
    assert fitted.needed == {tried: NEEDED[tried] for tried in CELLS[: CELLS.index(cell) + 1]}


def test_where_none_will_do_the_oldest_history_gives_way_in_the_smallest():
    fitted = fit(84)  # 6 rows of tokens, 168 pixels: 18 rows of text, of which one is the note
    assert fitted.page.style.cell == "5x9"
    assert fitted.needed == NEEDED
    assert fitted.page.report.segments_dropped == 4
    assert fitted.page.text().split("\n")[:3] == [
        "Look first.",
        "[.. 4 earlier ..]",
        "You arrive at cabinet 4.",
    ]


def test_the_smallest_cell_is_a_choice():
    assert fit(98, smallest="7x14").page.style.cell == "7x14"
    assert fit(84, smallest="4x8").page.style.cell == "4x8"
    with pytest.raises(ConfigError, match="larger than the style's"):
        ContextRenderer().fit(EVERYTHING, PageStyle("5x9"), 98, smallest="6x12")
    with pytest.raises(ConfigError, match="no atlas"):
        fit(98, smallest="9x9")


def test_skills_are_never_dropped():
    skills = [Segment("skill", "Look first.")] * 40
    with pytest.raises(RenderError, match="only history may be dropped"):
        ContextRenderer().fit(skills, PageStyle(), 56)
