"""Geometry: sides the image processor leaves alone, and prices known before anything is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.context import CELLS, PageStyle
from skill0.errors import ConfigError

styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.integers(2, 60).map(lambda tokens: 28 * tokens),
    leading=st.integers(0, 40),
    max_visual_tokens=st.none() | st.integers(400, 20_000),
)


@given(styles, st.integers(0, 3000))
def test_every_page_is_a_fixed_point_of_smart_resize(style, rows):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    height, width = style.size(min(rows, style.max_rows))
    # The limits of the published Qwen2.5-VL preprocessor_config.json: 3,136 to 12,845,056 pixels.
    assert smart_resize(height, width, 28, 56 * 56, 12_845_056) == (height, width)


@given(styles)
def test_the_most_rows_fit_the_limit_and_one_more_would_not(style):
    assert style.visual_tokens(style.max_rows) <= style.token_limit
    assert style.visual_tokens(style.max_rows + 1) > style.token_limit


@given(styles, st.integers(1, 500))
def test_text_stays_on_the_page(style, rows):
    height, width = style.size(rows)
    cell_width, cell_height = map(int, style.cell.split("x"))
    assert style.columns * cell_width <= width
    assert (rows - 1) * style.pitch + cell_height <= height


@pytest.mark.parametrize(
    ("cell", "width", "leading", "rows", "size", "tokens"),
    [
        ("6x12", 392, 0, 0, (56, 56), 4),  # nothing to show: the smallest image the processor takes
        ("6x12", 392, 0, 1, (28, 392), 14),  # 12 px -> 28
        ("6x12", 392, 0, 7, (84, 392), 42),  # 84 px exactly
        ("6x12", 392, 0, 8, (112, 392), 56),  # 96 px -> 112
        ("7x14", 392, 14, 10, (280, 392), 140),  # one text row per token row
        ("5x9", 56, 0, 1, (56, 56), 4),  # 28 x 56 would be enlarged
        ("5x9", 84, 0, 1, (56, 84), 6),  # 28 x 84 = 2352 px would be too
        ("5x9", 112, 0, 1, (28, 112), 4),  # 3136 px are enough
    ],
)
def test_sizes_worked_out_by_hand(cell, width, leading, rows, size, tokens):
    style = PageStyle(cell, width, leading)
    assert style.size(rows) == size
    assert style.visual_tokens(rows) == tokens


@pytest.mark.parametrize(
    ("factor", "cell"),
    # From 6x12 (72 px): 72/1.25 = 58 is nearest to 50; 72/1.5 = 48 is nearer to 50 than to 45; 72/1.6 = 45;
    # 72/2 = 36 is nearest to 32.
    [(0.5, "6x12"), (1, "6x12"), (1.25, "5x10"), (1.5, "5x10"), (1.6, "5x9"), (2, "4x8"), (5, "4x8")],
)
def test_compression_takes_the_cell_nearest_in_area(factor, cell):
    style = PageStyle("6x12", 560, 3, 900)
    assert style.compressed(factor) == PageStyle(cell, 560, 3, 900)


@given(styles, st.floats(1, 5), st.floats(1, 5))
def test_more_compression_never_gives_a_larger_cell(style, one, other):
    less, more = sorted((one, other))
    assert CELLS.index(style.cell) <= CELLS.index(style.compressed(less).cell)
    assert CELLS.index(style.compressed(less).cell) <= CELLS.index(style.compressed(more).cell)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "6x13"}, "6x13"),
        ({"width": 400}, "multiple of 28"),
        ({"width": 28}, "multiple of 28"),
        ({"width": 28 * 201}, "5600"),
        ({"leading": -1}, "leading"),
        ({"max_visual_tokens": 13}, "one row costs 14"),
        ({"max_visual_tokens": 3, "width": 56}, "costs 4"),
    ],
)
def test_a_style_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PageStyle(**settings)


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_is_no_positive_number_is_refused(factor):
    with pytest.raises(ConfigError, match="positive"):
        PageStyle().compressed(factor)
