"""Pixel values gathered from glyph ids by torch: bit-equal to the image processor and to the numpy path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.context import CELLS, ROLES, ContextRenderer, PageStyle, Segment, batch_pixel_values
from skill0.context.tensors import gathered_pixels, pixel_tensors

segments = st.lists(st.builds(Segment, st.sampled_from(ROLES), st.text(max_size=200)), max_size=5)
styles = st.builds(
    PageStyle,
    cell=st.sampled_from(CELLS),
    width=st.sampled_from([56, 84, 392]),
    leading=st.sampled_from([0, 3, 14]),
    shrink=st.sampled_from([1.0, 1.7]),
)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@given(contexts=st.lists(st.tuples(segments, styles), max_size=4))
@settings(max_examples=40)
def test_gathered_patches_are_those_of_the_pages(device, contexts):
    pages = [ContextRenderer().page(context, style) for context, style in contexts]
    values, grids = batch_pixel_values(pages)
    for found, where in (gathered_pixels(pages, device), pixel_tensors(pages, device)):
        assert found.device.type == where.device.type == device
        assert np.array_equal(found.cpu().numpy(), values)
        assert np.array_equal(where.cpu().numpy(), grids)


@given(contexts=st.lists(st.tuples(segments, styles), min_size=1, max_size=2))
@settings(max_examples=15)
def test_gathered_patches_are_those_of_the_official_processor(contexts):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pages = [ContextRenderer().page(context, style) for context, style in contexts]
    official = Qwen2VLImageProcessorPil(max_pixels=12_845_056)(
        images=[page.image() for page in pages], return_tensors="pt"
    )
    values, grids = gathered_pixels(pages, "cpu")
    assert torch.equal(values, official["pixel_values"])
    assert torch.equal(grids, official["image_grid_thw"])
