"""Pixel values: bit-equal to the installed Qwen2-VL image processor, on noise and on pages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.context import CELLS, ROLES, ContextRenderer, PageStyle, Segment, batch_pixel_values
from skill0.context.pixels import IMAGE_MEAN, IMAGE_STD, PATCH_VALUES, fill_patches, grid_of, normalised

segments = st.lists(st.builds(Segment, st.sampled_from(ROLES), st.text(max_size=200)), max_size=5)
styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.sampled_from([56, 84, 392]),
    leading=st.sampled_from([0, 14]),
    shrink=st.sampled_from([1.0, 1.1, 4.9]),
)


@pytest.fixture(scope="module")
def processor():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(max_pixels=12_845_056)


def test_the_statistics_are_the_processors(processor):
    assert tuple(processor.image_mean) == IMAGE_MEAN
    assert tuple(processor.image_std) == IMAGE_STD


@given(pages=st.lists(st.tuples(segments, styles), min_size=1, max_size=3))
@settings(max_examples=30)
def test_pages_give_what_the_official_processor_gives(processor, pages):
    rendered = [ContextRenderer().page(context, style) for context, style in pages]
    values, grids = batch_pixel_values(rendered)
    official = processor(images=[page.image() for page in rendered], return_tensors="np")
    assert np.array_equal(values, official["pixel_values"])
    assert values.dtype == official["pixel_values"].dtype == np.float32
    assert np.array_equal(grids, official["image_grid_thw"])
    assert grids.dtype == official["image_grid_thw"].dtype == np.int64


@pytest.mark.parametrize("size", [(56, 56), (28, 112), (308, 392), (1512, 392)])
def test_noise_in_every_grey_level_too(processor, size):
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    values = np.empty((size[0] * size[1] // 14**2, PATCH_VALUES), np.float32)
    fill_patches(normalised(image), values)
    official = processor(images=[Image.fromarray(image)], return_tensors="np")
    assert np.array_equal(values, official["pixel_values"])
    assert official["image_grid_thw"].tolist() == [list(grid_of(*size))]


def test_a_batch_is_its_pages_one_after_another():
    renderer = ContextRenderer()
    pages = [renderer.page([Segment("note", "x\n" * n)], PageStyle(width=112)) for n in (0, 1, 9)]
    values, grids = batch_pixel_values(pages)
    apart = [page.pixel_values() for page in pages]
    assert np.array_equal(values, np.concatenate([one for one, _ in apart]))
    assert np.array_equal(grids, np.concatenate([grid for _, grid in apart]))


def test_no_pages_give_no_patches():
    values, grids = batch_pixel_values([])
    assert values.shape == (0, PATCH_VALUES)
    assert grids.shape == (0, 3)
