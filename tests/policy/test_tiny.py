"""The tiny policy: the official class in a small shape, reproducible, able to learn."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from kitchen import LEXICON, page_of, prompts
from transformers import Qwen2_5_VLForConditionalGeneration

from skill0.errors import ConfigError
from skill0.policy import PromptEncoder, TinyPolicySettings, build_tiny_policy

SMALL = TinyPolicySettings(hidden_size=32, num_layers=2, intermediate_size=48, vision_width=32)


def test_it_is_the_official_model_of_about_a_million_parameters(tiny):
    model, _ = tiny
    assert type(model) is Qwen2_5_VLForConditionalGeneration
    # Vision: 1176 x 64 patches, a block of width 64, a merger 256 x 256 + 256 x 128: 0.2 M.
    # Text: 4 x (4 x 128 x 128 + 3 x 128 x 384) and the embedding: 0.9 M with a few hundred tokens.
    assert 1.0e6 < sum(parameter.numel() for parameter in model.parameters()) < 1.5e6
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


@pytest.mark.integration
def test_settings_and_names_are_there_without_importing_torch():
    """Recipes and the command line read the settings; neither should wait for torch."""
    code = (
        "import sys, skill0.policy; from skill0.policy import TinyPolicySettings, lexicon_from_texts; "
        "assert dir(skill0.policy) and 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_seed_alone_decides_the_weights():
    state = torch.random.get_rng_state()
    first, second, other = (build_tiny_policy(SMALL, LEXICON, seed=s)[0].state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("heads", "section"),
    [(4, [4, 6, 6]), (2, [8, 12, 12]), (8, [2, 3, 3])],  # each sums to half of 128 / heads
)
def test_rotary_sections_fill_half_a_head(heads, section):
    settings = TinyPolicySettings(num_heads=heads, num_key_value_heads=heads)
    assert settings.mrope_section == section


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be positive, got 0"),
        ({"hidden_size": 100}, "hidden_size=100 must be a multiple of 4 x num_heads=4"),
        ({"vision_width": 40}, "vision_width=40 must be a multiple of 4 x vision_heads=4"),
        ({"num_key_value_heads": 3}, "num_key_value_heads=3 must divide num_heads=4"),
    ],
)
def test_impossible_shapes_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        TinyPolicySettings(**fields)


@pytest.mark.parametrize("vision_depth", [1, 2])
def test_other_shapes_run(vision_depth):
    settings = TinyPolicySettings(
        hidden_size=64, num_layers=1, num_key_value_heads=2, vision_depth=vision_depth
    )
    model, processor = build_tiny_policy(settings, LEXICON)
    ids, images = _batch(processor, [prompts()[0]])
    assert model(**ids, **images).logits.isfinite().all()


def test_it_learns_to_say_what_the_page_shows():
    """Two pages, one prompt: only the image tells which of two names is right."""
    model, processor = build_tiny_policy(SMALL, LEXICON)
    words = ["mug 1", "fridge 1"]
    inputs = [prompts()[0].__class__("", "", page_of(text)) for text in ("mug: cabinet", "apple: fridge")]
    ids, images = _batch(processor, inputs)
    answers = torch.tensor([processor.tokenizer(word)["input_ids"][0] for word in words])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(140):
        loss = torch.nn.functional.cross_entropy(model(**ids, **images).logits[:, -1], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # knowing the two answers but not the page leaves ln 2 = 0.69


def _batch(processor, inputs):
    encoder = PromptEncoder(processor)
    ids = torch.tensor([encoder.encode(item) for item in inputs])
    parts = [item.page.pixel_values() for item in inputs]
    images = {
        "pixel_values": torch.cat([torch.from_numpy(pixels) for pixels, _ in parts]),
        "image_grid_thw": torch.cat([torch.from_numpy(grid) for _, grid in parts]),
        "mm_token_type_ids": (ids == encoder.image_token_id).long(),
    }
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, images
