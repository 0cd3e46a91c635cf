"""Layout and pages: what is shown where, what gives way, and that nothing goes unsaid."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.context import HISTORY_ROLES, ROLE_COLOURS, ROLES, ContextRenderer, Page, PageStyle, Segment
from skill0.context.atlas import CELLS, load_atlas
from skill0.context.layout import wrap
from skill0.context.text import clean
from skill0.context.wide import FILLER
from skill0.errors import ConfigError, RenderError

HISTORY = sorted(HISTORY_ROLES)
any_text = st.text(st.characters(exclude_categories=()), max_size=300)
plain_text = st.text("ab 1.\n", max_size=300)
segments_of_any_text = st.lists(st.builds(Segment, st.sampled_from(ROLES), any_text | plain_text), max_size=8)
history_of_any_text = st.lists(
    st.builds(Segment, st.sampled_from(HISTORY), any_text | plain_text), max_size=8
)
styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.sampled_from([56, 84, 224, 392]),
    leading=st.sampled_from([0, 1, 14]),
    shrink=st.sampled_from([1.0, 1.0, 1.5, 5.0]),
)
narrow_styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.sampled_from([56, 112, 392]),
    leading=st.sampled_from([0, 14]),
    shrink=st.sampled_from([1.0, 1.0, 2.0]),
    max_visual_tokens=st.integers(14, 60),
)


def page(*segments, style=None, **settings):
    style = style or PageStyle(**settings)
    return ContextRenderer().page([Segment(*segment) for segment in segments], style)


def without_spaces(text):
    return "".join(text.split())


# -- layout


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", [""]),
        ("go to desk", ["go to desk"]),
        ("go to desk 1", ["go to desk", "1"]),
        ("abcdefghijklm", ["abcdefghij", "klm"]),  # a word longer than the row is split
        ("on abcdefghijklm", ["on", "abcdefghij", "klm"]),
        ("   a bcdef ghi", ["   a bcdef", "ghi"]),  # indentation stays on the first row
        ("          wide", ["     wide"]),  # up to half the width
        ("1234567890 x", ["1234567890", "x"]),  # the space at the break takes no row
        ("a          b", ["a", "b"]),
        ("a ", ["a"]),
    ],
)
def test_lines_wrap_at_ten_columns(line, rows):
    assert wrap(line, 10) == rows


@given(st.text("ab -", max_size=80), st.integers(5, 20))
def test_wrapping_loses_only_spaces(line, columns):
    rows = wrap(line, columns)
    assert all(len(row) <= columns for row in rows)
    assert without_spaces("".join(rows)) == without_spaces(line)


@given(segments_of_any_text, styles)
def test_no_string_raises_and_no_character_is_lost_unreported(segments, style):
    shown = ContextRenderer().page(segments, style)
    drawable = load_atlas(style.cell).drawable
    cleaned = [clean(segment.text, drawable) for segment in segments]
    whole = "".join(text.text for text in cleaned).replace(FILLER, "")
    assert without_spaces(shown.text()) == without_spaces(whole)
    assert sum(shown.report.substitutions.values()) == sum(sum(t.substitutions.values()) for t in cleaned)
    assert sum(shown.report.normalisations.values()) == sum(sum(t.normalisations.values()) for t in cleaned)
    assert shown.report.segments_dropped == shown.report.rows_dropped == 0


@given(segments_of_any_text, styles)
def test_tokens_are_the_same_by_layout_page_image_and_grid(segments, style):
    renderer = ContextRenderer()
    shown = renderer.page(segments, style)
    values, grid = shown.pixel_values()
    height, width, _ = shown.array().shape
    assert (height, width) == shown.size
    assert renderer.visual_tokens(segments, style) == shown.visual_tokens == grid.prod() // 4
    assert height * width == shown.visual_tokens * 28 * 28 == len(values) * 14 * 14


def test_a_segment_starts_on_a_new_row_and_skills_keep_their_lines():
    shown = page(
        ("skill", "\n# Clean\n\n1. Rinse.\n   When: dirty.\n\n"),
        ("observation", "You see a mug 1.\n\nIt is dirty."),
        ("action", "take mug 1"),
        ("note", ""),
    )
    assert shown.text().split("\n") == [
        "# Clean",
        "",
        "1. Rinse.",
        "   When: dirty.",
        "You see a mug 1.",
        "It is dirty.",
        "take mug 1",
    ]
    assert shown.report.segment_rows == ((0, 4), (4, 6), (6, 7), (7, 7))
    assert shown.report.segments == 4


@pytest.mark.parametrize("segments", [[], [("skill", "")], [("observation", " \n\t\r\n\u200b")]])
def test_an_empty_context_is_a_small_white_page(segments):
    shown = page(*segments)
    assert shown.size == (56, 56)
    assert shown.visual_tokens == 4
    assert (shown.array() == 255).all()
    assert shown.text() == ""


def test_an_unknown_role_is_refused():
    with pytest.raises(ConfigError, match="narrator"):
        Segment("narrator", "Once upon a time")


# -- what gives way

# At cell 7x14, width 112, leading 14 a row is 16 characters and one token row of 4 visual tokens.
FOUR_ROWS = PageStyle("7x14", 112, 14, max_visual_tokens=16)
FIVE_ROWS = PageStyle("7x14", 112, 14, max_visual_tokens=20)


def test_history_that_fits_is_kept_whole():
    shown = page(
        ("skill", "s"), ("observation", "one"), ("action", "two"), ("observation", "x"), style=FOUR_ROWS
    )
    assert shown.text() == "s\none\ntwo\nx"
    assert shown.visual_tokens == 16


def test_the_oldest_history_gives_way_to_a_note():
    shown = page(
        ("skill", "skill"),
        ("observation", "one"),
        ("action", "two"),
        ("note", "note"),
        ("observation", "three"),
        ("action", "four"),
        style=FIVE_ROWS,
    )
    # Skill, note and the marker leave room for two of the four rows of history.
    assert shown.text() == "skill\n[..2..]\nnote\nthree\nfour"
    assert shown.report.segments_dropped == 2
    assert shown.report.rows_dropped == 2
    assert shown.report.segment_rows == ((0, 1), (2, 2), (2, 2), (2, 3), (3, 4), (4, 5))
    assert shown.visual_tokens == 20


def test_the_marker_says_how_many_in_words_where_there_is_room():
    history = [("observation", f"observation {i}") for i in range(12)]
    shown = page(*history, cell="7x14", width=392, leading=14, max_visual_tokens=14 * 3)
    assert shown.text() == "[.. 10 earlier ..]\nobservation 10\nobservation 11"


def test_segments_are_dropped_whole():
    shown = page(("observation", "a\nb\nc"), ("action", "d"), ("observation", "e"), style=FOUR_ROWS)
    assert shown.text() == "[..1..]\nd\ne"  # one row stays free: "b\nc" alone would be half an observation
    assert shown.report.rows_dropped == 3


def test_the_newest_segment_is_cut_when_it_alone_is_too_long():
    shown = page(("action", "go"), ("observation", "a\nb\nc\nd\ne"), style=FOUR_ROWS)
    assert shown.text() == "[..1..]\nc\nd\ne"
    assert shown.report.segments_dropped == 1
    assert shown.report.rows_dropped == 3


def test_skills_are_never_dropped():
    skills = [("skill", f"skill {i}") for i in range(6)]
    with pytest.raises(
        RenderError, match=r"need 24 visual tokens .* 16 are allowed, 8 fewer.*smaller cell \(6x12"
    ):
        page(*skills, style=FOUR_ROWS)


def test_history_without_room_for_its_marker_is_an_error_not_a_silent_loss():
    skills = [("skill", f"skill {i}") for i in range(4)]
    assert page(*skills, style=FOUR_ROWS).visual_tokens == 16
    with pytest.raises(RenderError, match="need 20 visual tokens"):
        page(*skills, ("observation", "one"), style=FOUR_ROWS)


@given(history_of_any_text, narrow_styles)
def test_history_alone_never_raises_and_keeps_to_the_limit(segments, style):
    shown = ContextRenderer().page(segments, style)
    whole = ContextRenderer().page(segments, PageStyle(style.cell, style.width, style.leading))
    report = shown.report
    assert shown.visual_tokens <= style.token_limit
    assert report.rows == len(shown.ids)
    if report.rows_dropped:
        kept = report.rows - 1  # without the marker
        assert kept + report.rows_dropped == len(whole.ids)
        assert shown.row_texts()[1:] == whole.row_texts()[report.rows_dropped :]  # the newest rows
    else:
        assert shown.text() == whole.text()


# -- colour


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "text", ["[Action] go", "<action>go</action>", "\x1b[31mred\x1b[0m", "[.. 3 earlier ..]"]
)
def test_a_segment_has_the_colour_of_its_role_whatever_it_says(role, text):
    pixels = page((role, text), cell="7x14").array().reshape(-1, 3).astype(int)
    ink = 255 - pixels  # every pixel lies on the line from white to the role's colour
    full = 255 - np.array(ROLE_COLOURS[role])
    strength = ink[:, full.argmax()] / full.max()
    assert np.abs(ink - strength[:, None] * full).max() <= 1
    assert strength.max() > 0.9


def test_neighbours_keep_their_own_colours():
    pixels = page(("observation", "[Action] go"), ("action", "go"), cell="7x14", leading=14).array()
    above, below = pixels[:28].reshape(-1, 3), pixels[28:].reshape(-1, 3)
    assert (above[:, 2] == 255).all()  # blue ink leaves the blue channel alone
    assert (below[:, 0] == 255).all()  # red ink the red one
    assert (above[:, 0] < 255).any()
    assert (below[:, 2] < 255).any()


# -- pages as values


GOLDEN = (
    ("skill", "# General\n1. **Look first.** Look before you leap."),
    ("observation", "You are in the middle of a room. You see a desk 1, a café table 2 and a → sign."),
    ("action", "go to desk 1"),
    ("note", "step 2 of 50"),
)


def test_the_same_text_gives_the_same_pixels_on_every_machine():
    digests = {
        cell: hashlib.sha256(page(*GOLDEN, cell=cell, width=224).array().tobytes()).hexdigest()[:16]
        for cell in CELLS
    }
    assert digests == {
        "7x14": "c5f68e37da93fe1e",
        "6x12": "c04bfe3a1541fa17",
        "5x10": "ba6634b36481ec33",
        "5x9": "01a691319c7e6162",
        "4x8": "259a099bd449efe7",
    }


@given(segments_of_any_text, styles)
def test_a_page_survives_pickling_read_only(segments, style):
    shown = ContextRenderer().page(segments, style)
    again = pickle.loads(pickle.dumps(shown))
    assert again == shown
    assert hash(again) == hash(shown)
    assert again.report == shown.report
    with pytest.raises(ValueError, match="read-only"):
        again.ids[...] = 1


def test_pages_are_equal_by_what_they_show():
    assert page(("action", "go")) == page(("action", "go"), ("note", " "))
    assert page(("action", "go")) != page(("observation", "go"))
    assert page(("action", "go")) != page(("action", "go"), cell="5x9")
    assert len({page(("action", "go")), page(("action", "go"))}) == 1


def test_a_long_history_pickles_small():
    turns = [
        ("observation", f"You arrive at cabinet {i}. On the cabinet {i}, you see a mug 1.") for i in range(50)
    ]
    shown = page(*turns)
    values, _ = shown.pixel_values()
    assert len(pickle.dumps(shown)) < 20_000 < values.nbytes / 100


# -- where text stands


def test_the_token_that_shows_a_word():
    # One text row per token row of 392 / 28 = 14 tokens; four 7 px characters a token.
    shown = page(("skill", "mug         cabinet\nknife       drawer"), cell="7x14", leading=14)
    assert shown.find("cabinet") == [(0, 12)]
    assert shown.token_index(0, 12) == 3
    assert shown.find("drawer") == [(1, 12)]
    assert shown.token_index(1, 12) == 14 + 3
    assert shown.cell_tokens().shape == (2, 56)
    with pytest.raises(IndexError, match="not on a page"):
        shown.token_index(2, 0)


@given(segments_of_any_text, styles)
def test_ink_is_in_the_tokens_that_cells_map_to(segments, style):
    shown = ContextRenderer().page(segments, style)
    tokens = shown.cell_tokens()
    assert tokens.shape == shown.ids.shape
    assert tokens.size == 0 or (tokens.min() >= 0 and tokens.max() < shown.visual_tokens)


def test_every_place_of_a_word_is_found():
    shown = page(("note", "mug mug"), ("note", "a mug"))
    assert shown.find("mug") == [(0, 0), (0, 4), (1, 2)]
    assert shown.find("") == []


# -- the renderer's memory


@given(st.lists(st.tuples(segments_of_any_text, styles), max_size=6), st.sampled_from([0, 3000, 2**20]))
def test_what_is_remembered_never_shows(contexts, cache_bytes):
    renderer = ContextRenderer(cache_bytes=cache_bytes)
    for segments, style in contexts:
        assert renderer.page(segments, style) == ContextRenderer().page(segments, style)
        assert renderer._cached_bytes <= cache_bytes


def test_importing_the_context_is_light():
    heavy = "torch", "transformers", "PIL", "matplotlib"
    code = f"import skill0.context, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_page_shows_itself_in_a_notebook():
    assert page(("note", "hello"))._repr_png_().startswith(b"\x89PNG")
    assert repr(page(("note", "hello"))) == "Page(392x28, 1 rows, 14 visual tokens)"
    assert isinstance(page(), Page)
