"""The shortcuts in the vision tower compute what the official tower computes."""

from __future__ import annotations

import copy

import pytest
import torch
from kitchen import LEXICON, page_of
from safetensors.torch import load_file
from torch import nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

from skill0.context import batch_pixel_values
from skill0.policy import TinyPolicySettings, build_tiny_policy, speed_up_vision_on_cpu, vision
from skill0.policy.vision import MatmulPatchEmbedding, SharingVisionTower, equal_pages, share_equal_images


@pytest.fixture
def official():
    """A tiny model with the classes transformers gives it: two blocks, one of them with window attention.
    In 64 bits: in 32 the order of sums over pages shows in gradients, on some processors more."""
    settings = TinyPolicySettings(vision_depth=2)
    model, _ = build_tiny_policy(settings, LEXICON)
    tower = model.model.visual
    tower.__class__ = Qwen2_5_VisionTransformerPretrainedModel
    tower.patch_embed.proj.__class__ = nn.Conv3d
    tower.fullatt_block_indexes = [1]
    return model.double()


@pytest.fixture
def fast(official):
    model = copy.deepcopy(official)
    speed_up_vision_on_cpu(model)
    return model


def pixels_of(*texts):
    pages = [page_of(text, width) for text, width in texts]
    return tuple(torch.from_numpy(part) for part in batch_pixel_values(pages))


SAME = ("mug: cabinet\n" * 8, 112)
SHORT, WIDE = ("fork: drawer", 112), ("apple: fridge\n" * 8, 252)


def assert_gradients_close(ours, theirs):
    """By the scale of each parameter: sums over pages are large."""
    scale = max(theirs.abs().max().item(), 1)
    torch.testing.assert_close(ours, theirs, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize(
    "pages",
    [[SHORT], [SAME, SAME, SAME], [SAME, SHORT, WIDE], [WIDE, SAME, SHORT, SAME, WIDE]],
    ids=["one", "all equal", "all different", "mixed"],
)
def test_features_and_gradients_equal_the_official_ones(official, fast, pages):
    pixels, grids = pixels_of(*pages)
    results = []
    for model in (official, fast):
        output = model.get_image_features(pixels, grids, return_dict=True)
        features = torch.cat(output.pooler_output)  # (visual tokens of all pages, width)
        weights = torch.linspace(-1, 1, features.numel()).view_as(features)
        (features * weights).sum().backward()
        gradients = {name: p.grad for name, p in model.model.visual.named_parameters()}
        results.append((features, output.last_hidden_state, gradients))
    (features, hidden, gradients), (fast_features, fast_hidden, fast_gradients) = results
    torch.testing.assert_close(fast_features, features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fast_hidden, hidden, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        assert_gradients_close(fast_gradients[name], gradient)


def test_equal_images_go_through_the_tower_once(fast):
    rows = []
    fast.model.visual.patch_embed.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    pixels, grids = pixels_of(SAME, SHORT, SAME, SAME)
    fast.get_image_features(pixels, grids)
    assert rows == [int(grids[:2].prod(dim=1).sum())]


class TestAnnouncedPages:
    """What is used where pixels are not compared: on an accelerator."""

    @pytest.fixture(autouse=True)
    def _no_pixels_are_compared(self, monkeypatch):
        def compare(images):
            raise AssertionError("pixels were compared")

        monkeypatch.setattr(vision, "_first_equal", compare)

    def test_equal_ones_are_encoded_once_with_the_official_features_and_gradients(self, official, fast):
        shown = [WIDE, SAME, SHORT, SAME, WIDE]
        pixels, grids = pixels_of(*shown)
        rows = []
        fast.model.visual.patch_embed.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
        results = []
        for model in (official, fast):
            with equal_pages(model, shown):
                features = torch.cat(model.get_image_features(pixels, grids, return_dict=True).pooler_output)
            weights = torch.linspace(-1, 1, features.numel()).view_as(features)
            (features * weights).sum().backward()
            results.append((features, [parameter.grad for parameter in model.model.visual.parameters()]))
        assert rows == [int(grids[:3].prod(dim=1).sum())]
        (features, gradients), (fast_features, fast_gradients) = results
        torch.testing.assert_close(fast_features, features, atol=1e-5, rtol=1e-5)
        for ours, theirs in zip(fast_gradients, gradients, strict=True):
            assert_gradients_close(ours, theirs)

    def test_models_of_16_bits_and_wrapped_ones_too(self, fast):
        wrapped = nn.Sequential(fast.to(torch.bfloat16))
        pixels, grids = pixels_of(SAME, SHORT, SAME)
        with equal_pages(wrapped, ["same", "short", "same"]):
            first, _, again = fast.get_image_features(pixels, grids, return_dict=True).pooler_output
        assert first.dtype is torch.bfloat16
        assert torch.equal(first, again)

    def test_another_number_of_images_is_an_error(self, fast):
        pixels, grids = pixels_of(SAME, SAME)
        with (
            equal_pages(fast, ["same"]),
            pytest.raises(RuntimeError, match=r"1 pages were announced.*2 images"),
        ):
            fast.get_image_features(pixels, grids)
        assert fast.model.visual.first_equal is None


def test_images_that_differ_in_one_pixel_are_different(fast):
    pixels, grids = pixels_of(SAME, SAME)
    pixels[-1, -1] += 1  # the last patch is not part of the sample that is compared first
    first, second = fast.get_image_features(pixels, grids, return_dict=True).pooler_output
    assert not torch.equal(first, second)


def test_what_is_saved_does_not_change(official, fast, tmp_path):
    for name, model in (("official", official), ("fast", fast)):
        model.save_pretrained(tmp_path / name)
    config, weights = "config.json", "model.safetensors"
    assert (tmp_path / "fast" / config).read_text() == (tmp_path / "official" / config).read_text()
    before, after = (load_file(tmp_path / name / weights) for name in ("official", "fast"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_deep_copies_keep_the_shortcuts_and_are_independent(fast):
    twin = copy.deepcopy(fast)
    speed_up_vision_on_cpu(twin)
    assert type(twin.model.visual) is SharingVisionTower
    assert type(twin.model.visual.patch_embed.proj) is MatmulPatchEmbedding
    pixels, grids = pixels_of(SAME, SAME)
    before = fast.get_image_features(pixels, grids).pooler_output[0]
    with torch.no_grad():
        twin.model.visual.patch_embed.proj.weight.zero_()
    assert torch.equal(fast.get_image_features(pixels, grids).pooler_output[0], before)


def test_other_convolutions_are_left_alone():
    other = nn.Sequential(nn.Conv3d(1, 1, kernel_size=3, stride=1))
    share_equal_images(other)
    speed_up_vision_on_cpu(other)
    assert type(other[0]) is nn.Conv3d
