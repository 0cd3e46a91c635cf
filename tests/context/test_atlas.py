"""The atlases in the package: complete, distinct, undamaged, and what the baking script makes."""

import numpy as np
import pytest

from skill0.context.atlas import ATLAS_FOLDER, CELLS, NO_GLYPH, atlas_digest, cell_size, load_atlas
from skill0.context.bake import bake, characters
from skill0.context.text import LOOK_ALIKES
from skill0.errors import ConfigError


@pytest.mark.parametrize("cell", CELLS)
def test_every_code_point_has_its_own_picture(cell):
    atlas = load_atlas(cell)
    pictures = {glyph.tobytes() for glyph in atlas.coverage}
    assert len(pictures) == atlas.num_glyphs == len(set(atlas.text))


@pytest.mark.parametrize("cell", CELLS)
def test_ascii_latin_1_and_extended_a_can_be_drawn_or_have_a_look_alike(cell):
    drawable = load_atlas(cell).drawable | LOOK_ALIKES.keys()
    codes = [*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x180)]
    assert drawable.issuperset(map(chr, codes))
    assert load_atlas(cell).drawable.isdisjoint(LOOK_ALIKES)
    assert load_atlas(cell).drawable.issuperset(LOOK_ALIKES.values())


@pytest.mark.parametrize("cell", CELLS)
def test_only_the_space_is_blank_and_it_comes_first(cell):
    atlas = load_atlas(cell)
    assert atlas.text[0] == " "
    assert [char for char, ink in zip(atlas.text, atlas.coverage, strict=True) if not ink.any()] == [" "]


@pytest.mark.parametrize("cell", CELLS)
def test_baking_anew_gives_the_atlas_in_the_package(cell):
    codes, coverage = bake(cell)
    atlas = load_atlas(cell)
    assert coverage.shape[1:] == cell_size(cell)[::-1]
    assert np.array_equal(codes, atlas.codes)
    # Another release of FreeType may round the edge of an outline differently.
    assert np.abs(coverage.astype(int) - atlas.coverage).max() <= 4


@pytest.mark.parametrize("cell", CELLS)
def test_the_version_is_the_digest_of_the_glyphs(cell):
    atlas = load_atlas(cell)
    assert atlas.version == atlas_digest(atlas.codes, atlas.coverage)
    changed = atlas.coverage.copy()
    changed[5, 3, 2] ^= 1
    assert atlas.version != atlas_digest(atlas.codes, changed)


def test_a_damaged_atlas_is_refused(tmp_path, monkeypatch):
    atlas = load_atlas("5x9")
    damaged = tmp_path / "dejavu_sans_mono_5x9.npz"
    coverage = atlas.coverage.copy()
    coverage[40] = 0
    np.savez_compressed(damaged, codes=atlas.codes, coverage=coverage, version=np.array(atlas.version))
    monkeypatch.setattr("skill0.context.atlas.ATLAS_FOLDER", tmp_path)
    with pytest.raises(ConfigError, match="damaged"):
        load_atlas.__wrapped__("5x9")


def test_the_licence_of_the_font_travels_along():
    assert "Bitstream Vera" in (ATLAS_FOLDER / "LICENSE_DEJAVU").read_text()


def test_a_character_without_a_glyph_is_told_apart():
    atlas = load_atlas("6x12")
    assert atlas.glyphs("a中\U0010ffff\ud800").tolist() == [characters().index("a"), *[NO_GLYPH] * 3]


def test_an_unknown_cell_names_the_known_ones():
    with pytest.raises(ConfigError, match="7x14"):
        load_atlas("9x9")
