"""A canvas shows what a page made from nothing shows, whatever was appended, replaced or dropped before."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.context import CELLS, ROLES, Canvas, ContextRenderer, PageStyle, Segment
from skill0.context.page import draw
from skill0.errors import RenderError

texts = st.sampled_from(
    ["", "go to desk 1", "You see a mug 1.", "a\n\nb", "Nothing happens.", "x" * 70, "café → 中文"]
) | st.text(max_size=60)
segments = st.lists(st.builds(Segment, st.sampled_from(ROLES), texts), max_size=6)
history = st.lists(st.builds(Segment, st.sampled_from(["observation", "action"]), texts), max_size=4)
styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.sampled_from([56, 112, 392]),
    leading=st.sampled_from([0, 3, 14]),
    max_visual_tokens=st.sampled_from([None, 40]),
    joiner=st.sampled_from([None, " | "]),
    shrink=st.sampled_from([1.0, 2.3]),
)
changes = st.lists(
    st.tuples(st.just("append"), history)
    | st.tuples(st.just("slide"), history)
    | st.tuples(st.just("show"), segments),
    max_size=8,
)


@given(styles, changes, st.booleans())
@settings(max_examples=150)
def test_any_sequence_of_changes_shows_what_a_fresh_page_shows(style, changes, look_every_time):
    canvas, shown = Canvas(style), []
    for number, (change, added) in enumerate(changes):
        if change == "append":
            shown = [*shown, *added]
        else:
            shown = added if change == "show" else [*shown[1:], *added]
        if sum(segment.role in ("skill", "note") for segment in shown) and style.max_visual_tokens:
            shown = [segment for segment in shown if segment.role not in ("skill", "note")]
            canvas.show(shown)
        elif change == "append":
            canvas.append(*added)
        else:
            canvas.show(shown)
        fresh = ContextRenderer(0).page(shown, style)
        assert canvas.page == fresh
        assert canvas.page.report == fresh.report
        if look_every_time or number + 1 == len(changes):
            assert np.array_equal(canvas.array(), fresh.array())
            values, grid = canvas.pixel_values()
            official, official_grid = fresh.pixel_values()
            assert np.array_equal(values, official)
            assert np.array_equal(grid, official_grid)


def turn(number: int) -> list[Segment]:
    return [
        Segment("observation", f"You arrive at cabinet {number}."),
        Segment("action", f"go to desk {number}"),
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows a canvas draws, each time it does."""
    counts: list[int] = []
    monkeypatch.setattr(
        "skill0.context.canvas.drawing",
        lambda compiled: lambda ids, *rest: (counts.append(len(ids)), draw(ids, *rest)),
    )
    return counts


def test_a_growing_history_draws_only_its_new_rows(drawn):
    canvas = Canvas(PageStyle())
    for number in range(20):
        canvas.append(*turn(number))
        canvas.array()
    assert sum(drawn) == 40


def test_a_sliding_window_moves_rows_and_draws_the_new_ones(drawn):
    canvas = Canvas(PageStyle())
    skill = Segment("skill", "Look first.")
    for number in range(20):
        window = [segment for k in range(max(0, number - 4), number + 1) for segment in turn(k)]
        canvas.show([skill, *window])
        assert np.array_equal(canvas.array(), ContextRenderer().page([skill, *window], PageStyle()).array())
    assert sum(drawn) == 1 + 40


def test_what_a_canvas_hands_out_cannot_be_written_to():
    canvas = Canvas(PageStyle())
    canvas.append(*turn(1))
    for view in (canvas.array(), canvas.pixel_values()[0]):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("width", [56, 392])
def test_compiled_drawing_shows_the_same(cell, width):
    pytest.importorskip("numba")
    style = PageStyle(cell, width=width, leading=3)
    canvas = Canvas(style, compiled=True)
    assert canvas.array().min() == 255  # nothing yet
    for text in (
        "You see a mug 1, a book 2 and nothing else.",
        "go to desk 1",
        "",
        "café → 中文",
        "  a\n\nb",
    ):
        page = canvas.append(Segment("observation", text), Segment("action", text))
        assert np.array_equal(canvas.array(), page.array())
        assert np.array_equal(page.array(compiled=True), page.array())


def test_compiled_drawing_without_numba_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "skill0.context.compiled", None)
    monkeypatch.delattr("skill0.context.compiled", raising=False)
    with pytest.raises(RenderError, match=r"pip install 'skill0\[numba\]'"):
        Canvas(PageStyle(), compiled=True)
