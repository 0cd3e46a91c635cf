"""Loading a policy: what fits together loads, what does not is refused with a reason."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from kitchen import LEXICON, prompts
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2VLImageProcessorPil

from skill0.agent import Sampling
from skill0.errors import CheckpointError, PolicyError
from skill0.policy import (
    TransformersPolicy,
    build_tokenizer,
    check_policy,
    load_policy,
    load_processor,
    save_policy,
)
from skill0.policy.vision import SharingVisionTower


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved policy that a test may damage."""
    return shutil.copytree(saved, tmp_path / "policy")


def edit_json(file, **changes):
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_loaded_policy_replies_like_the_saved_one(tiny, saved):
    model, processor = load_policy(saved)
    assert not model.training
    sampling = Sampling(max_new_tokens=6)
    replies = TransformersPolicy(model, processor).generate(prompts(), sampling)
    assert replies == TransformersPolicy(*tiny).generate(prompts(), sampling)


def test_on_the_cpu_the_vision_tower_gets_its_shortcuts(saved):
    model, _ = load_policy(saved, device="cpu")
    assert type(model.model.visual) is SharingVisionTower


def test_dtype_and_attention_can_be_chosen(saved):
    model, processor = load_policy(saved, dtype="bfloat16", attn_implementation="eager")
    assert model.dtype is torch.bfloat16
    assert model.config._attn_implementation == "eager"
    (reply, *_) = TransformersPolicy(model, processor).generate(prompts(), Sampling(max_new_tokens=3))
    assert len(reply.completion_ids) <= 3


def test_no_model_there(tmp_path):
    with pytest.raises(PolicyError, match="no model here"):
        load_policy(tmp_path / "nowhere")


def test_a_text_only_model_is_refused(tmp_path, tiny):
    config = Qwen2Config(
        vocab_size=512, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    text_only = Qwen2ForCausalLM(config)
    save_policy(text_only, tiny[1], tmp_path)
    with pytest.raises(
        PolicyError, match=r"type 'qwen2'; pages are shown as images, which takes a Qwen2\.5-VL"
    ):
        load_policy(tmp_path)
    with pytest.raises(PolicyError, match="pages are shown as images"):
        TransformersPolicy(text_only, tiny[1])


def test_missing_weights_are_refused(folder):
    edit_weights(folder, lambda weights: weights.pop("model.layers.3.mlp.up_proj.weight"))
    with pytest.raises(PolicyError, match=r"1 weights are missing \(.*layers\.3\.mlp\.up_proj\.weight\)"):
        load_policy(folder)


def test_weights_of_another_shape_are_refused(folder):
    def halve(weights):
        weights["visual.merger.mlp.0.bias"] = weights["visual.merger.mlp.0.bias"][:128].clone()

    edit_weights(folder, halve)
    with pytest.raises(PolicyError, match=r"1 weights have another shape .*merger\.mlp\.0\.bias"):
        load_policy(folder)


def test_weights_nobody_uses_are_warned_about(folder):
    edit_weights(folder, lambda weights: weights.update(value_head=torch.zeros(3)))
    with pytest.warns(UserWarning, match="1 weights are not used: value_head"):
        load_policy(folder)


def test_no_weights_file(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(PolicyError, match="cannot load the model"):
        load_policy(folder)


def test_a_processor_without_an_image_part_is_refused(folder):
    (folder / "processor_config.json").unlink()
    with pytest.raises(PolicyError, match="no image-and-text processor here"):
        load_policy(folder)


def test_a_processor_config_without_its_image_section_is_refused(folder):
    edit_json(folder / "processor_config.json", image_processor=None)
    with pytest.raises(PolicyError, match="no image-and-text processor here"):
        load_processor(folder)


def test_a_folder_without_a_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(PolicyError, match=r"has no token <\|image_pad\|>"):
        load_policy(folder)


def test_another_image_token_in_the_config_is_refused(folder):
    edit_json(folder / "config.json", image_token_id=7)
    with pytest.raises(PolicyError, match=r"<\|image_pad\|> is \d+ in the tokenizer but image_token_id=7"):
        load_policy(folder)


def test_the_tokenizer_of_another_model_is_refused(folder):
    build_tokenizer([*LEXICON, "one", "more"]).save_pretrained(folder)
    with pytest.raises(PolicyError, match="tokenizer and weights do not belong together"):
        load_policy(folder)


def test_more_tokens_than_embeddings_are_refused(tiny):
    model, processor = tiny
    rows = model.config.text_config.vocab_size
    bigger = load_processor_with(processor, [f"word{i}" for i in range(rows)])
    for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        assert hasattr(model.config, name)
    with pytest.raises(PolicyError, match="tokenizer and weights do not belong together"):
        check_policy(model, bigger)


def load_processor_with(processor, extra_tokens):
    """The same processor with tokens appended after all others, so that the known ids stay."""
    import copy

    bigger = copy.deepcopy(processor)
    bigger.tokenizer.add_tokens(extra_tokens)
    return bigger


def test_a_bare_tokenizer_is_no_processor(tiny):
    with pytest.raises(PolicyError, match="has no image part"):
        TransformersPolicy(tiny[0], tiny[1].tokenizer)


def test_a_folder_that_cannot_be_written_is_reported(tiny, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="cannot save the policy"):
        save_policy(*tiny, tmp_path / "file")


def test_a_published_processor_layout_loads(tiny, tmp_path):
    """Published checkpoints keep the image settings in preprocessor_config.json."""
    tiny[1].tokenizer.save_pretrained(tmp_path)
    Qwen2VLImageProcessorPil(max_pixels=28 * 28 * 64).save_pretrained(tmp_path)
    assert load_processor(tmp_path).image_processor.size["longest_edge"] == 28 * 28 * 64
