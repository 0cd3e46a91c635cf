"""Wide glyphs: two halves of a picture, for characters that take two columns."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.context import CELLS, ContextRenderer, Page, PageStyle, Segment
from skill0.context.atlas import ATLAS_FOLDER, CELL_SIZES, load_atlas
from skill0.context.bake_wide import cjk_codes, decoded
from skill0.context.layout import apart, lay_out, wrap
from skill0.context.wide import FILLER, SIDE, WideAtlas, _overlaps, load_wide, wide_digest
from skill0.errors import ConfigError

GOLDEN = {
    "7x14": "e670ee7abf29a499",
    "6x12": "4036ecfb949f3107",
    "5x10": "bc537f0e64e77621",
    "5x9": "2d473220f3e83d4f",
    "4x8": "80b83cff4a3083d7",
}

wide_text = st.text(st.sampled_from("中文東京서울😀ab 1\n"), max_size=80)


def page(text: str, **style) -> Page:
    return ContextRenderer().page([Segment("observation", text)], PageStyle(**style))


def test_a_row_of_28_pixels_becomes_fewer_by_hand():
    # 28 pixels under 8: each of the 8 takes 3 whole ones and half of the next (in eighths: 8, 8, 8, 4).
    assert _overlaps(8)[0].tolist() == [8, 8, 8, 4, *[0] * 24]
    assert _overlaps(8)[1, 3:8].tolist() == [4, 8, 8, 8, 0]
    for pixels in range(1, SIDE + 1):
        assert (_overlaps(pixels).sum(axis=1) == SIDE).all()


def test_halves_of_a_picture_by_hand():
    bits = np.zeros((SIDE, SIDE), np.uint8)
    bits[:, :14] = 1  # the left half is black
    bits[:14, 14:] = 1  # and the upper half of the right one
    atlas = WideAtlas(np.array([0x4E2D], np.uint32), np.packbits(bits.reshape(1, -1), axis=1), "")
    left, right = atlas.halves(np.array([0, 1]), (7, 14))
    assert (left == 255).all()
    assert (right[:7] == 255).all()
    assert (right[7:] == 0).all()


@given(wide_text, st.sampled_from(CELLS), st.sampled_from([56, 112, 392]))
def test_wide_text_is_shown_whole_and_never_cut_within_a_character(text, cell, width):
    shown = page(text, cell=cell, width=width)
    assert "".join(shown.text().split()) == "".join(text.split())
    for row in shown.row_texts():
        assert not row.startswith(FILLER)


def test_a_line_may_end_after_a_wide_character():
    spread = "".join(char + FILLER for char in "中文東京")
    assert wrap("Ab " + spread, 8) == ["Ab " + spread[:4], spread[4:]]
    assert wrap(spread, 5) == [spread[:4], spread[4:]]


def test_wide_characters_are_found_in_their_columns():
    shown = page("see 東京 and 京")
    assert shown.find("京") == [(0, 6), (0, 13)]
    assert shown.find("東京") == [(0, 4)]


def test_only_pages_with_wide_characters_have_wide_ids():
    assert page("You see a mug.").ids.dtype == np.uint16
    assert page("You see a 中.").ids.dtype == np.uint32
    both = lay_out([Segment("note", "中"), Segment("note", "mug")], PageStyle())
    assert [rows.ids.dtype for rows in apart(both, PageStyle())] == [np.uint32, np.uint16]


@pytest.mark.parametrize("text", ["", "mug", "中文 mug"])
def test_a_page_becomes_json_and_back(text):
    shown = page(text)
    again = Page.from_json(shown.to_json())
    assert again == shown
    assert hash(again) == hash(shown)
    assert again.ids.dtype == shown.ids.dtype


def test_the_same_wide_text_gives_the_same_pixels_on_every_machine():
    text = "北京 とうきょう 서울 😀"
    digests = {
        cell: hashlib.sha256(page(text, cell=cell).array().tobytes()).hexdigest()[:16] for cell in CELLS
    }
    assert digests == GOLDEN


def test_a_character_is_either_narrow_or_wide():
    assert load_atlas("6x12").drawable.isdisjoint(load_wide().drawable)
    assert (np.diff(load_wide().codes.astype(np.int64)) > 0).all()
    assert set(CELL_SIZES) == set(CELLS)


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    wide = load_wide()
    assert wide.version == wide_digest(wide.codes, wide.bitmaps)
    damaged = tmp_path / "noto_wide.npz"
    np.savez(damaged, codes=wide.codes, bitmaps=wide.bitmaps[::-1], version=np.array(wide.version))
    monkeypatch.setattr("skill0.context.wide.WIDE_PATH", damaged)
    with pytest.raises(ConfigError, match="damaged"):
        load_wide.__wrapped__()


@pytest.mark.parametrize("name", ["LICENSE_NOTO_CJK", "LICENSE_NOTO_EMOJI"])
def test_the_licences_of_the_fonts_travel_along(name):
    assert "SIL OPEN FONT LICENSE" in (ATLAS_FOLDER / name).read_text().upper()


def test_the_common_characters_of_four_standards_are_there():
    second = range(0xA1, 0xFF)
    # GB 2312 and JIS X 0208 level 1, and the syllables of KS X 1001, as the standards count them.
    assert len(decoded("gb2312", range(0xB0, 0xD8), second)) == 3755
    assert len(decoded("euc_jp", range(0xB0, 0xD0), second)) == 2965
    assert len(decoded("euc_kr", range(0xB0, 0xC9), second)) == 2350
    assert load_wide().drawable.issuperset(map(chr, cjk_codes()))
