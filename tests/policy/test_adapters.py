"""LoRA: what may be asked for, and a policy that was saved as an adapter is loaded whole or refused."""

from __future__ import annotations

import copy
import json
import shutil
import sys

import pytest
import torch
from kitchen import prompts
from safetensors.torch import load_file, save_file

from skill0.agent import Sampling
from skill0.errors import ConfigError, PolicyError
from skill0.policy import TransformersPolicy, load_policy, save_policy
from skill0.policy.adapters import LoraSettings, adapter_config

peft = pytest.importorskip("peft")

# PEFT asks for activation checkpointing by a name that transformers has given up.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def logprobs(model, processor):
    """Of the likeliest replies to all prompts of the kitchen."""
    replies = TransformersPolicy(model, processor).generate(
        prompts(), Sampling(temperature=0.0, max_new_tokens=5)
    )
    return [reply.logprobs for reply in replies]


@pytest.fixture(scope="module")
def adapted(saved, tmp_path_factory):
    """(model under PEFT with an adapter that changes a lot, processor, the folder it was saved to)."""
    folder = tmp_path_factory.mktemp("adapter") / "policy"
    model, processor = load_policy(saved)
    wrapped = peft.get_peft_model(
        model, adapter_config(LoraSettings(rank=2, target_modules=("q_proj", "up_proj")))
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:  # zero when it is made
                parameter.normal_(std=0.1)
    save_policy(wrapped, processor, folder)
    return wrapped, processor, folder


@pytest.fixture
def folder(adapted, tmp_path):
    """A copy of the saved adapter, to be damaged."""
    return shutil.copytree(adapted[2], tmp_path / "policy")


def test_layers_of_the_text_model_are_adapted_and_none_of_the_vision_tower(adapted):
    trained = [name for name, parameter in adapted[0].named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 4  # two matrices at two layers of each of four text layers
    assert all(".language_model.layers." in name for name in trained)


def test_an_adapter_is_loaded_together_with_its_model(adapted, saved):
    wrapped, processor, folder = adapted
    assert not (folder / "model.safetensors").exists()
    model, loaded_processor = load_policy(folder)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert model.dtype is torch.float32
    theirs, ours = logprobs(wrapped, processor), logprobs(model, loaded_processor)
    for our, their in zip(ours, theirs, strict=True):
        assert our == pytest.approx(their, abs=1e-4)
    untrained = logprobs(*load_policy(saved))
    assert any(our != pytest.approx(other, abs=1e-2) for our, other in zip(ours, untrained, strict=True))
    assert load_policy(folder, dtype="bfloat16")[0].dtype is torch.bfloat16


def test_what_is_loaded_can_be_saved_whole(adapted, tmp_path):
    model, processor = load_policy(adapted[2])
    save_policy(model, processor, tmp_path)
    whole, _ = load_policy(tmp_path)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:Could not find a config file:UserWarning")  # an adapter has none
def test_an_adapter_of_an_adapter_belongs_to_both(adapted, tmp_path):
    below, processor = load_policy(adapted[2])
    above = peft.get_peft_model(copy.deepcopy(below), adapter_config(LoraSettings(rank=2)))
    save_policy(above, processor, tmp_path)
    # The second adapter adds nothing yet, so what is loaded is the model with the first one.
    loaded, _ = load_policy(tmp_path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in below.state_dict().items())


def test_a_model_that_is_gone(folder):
    config = folder / "adapter_config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "/gone/model"})
    )
    with pytest.raises(PolicyError, match=r"adapter of the model in /gone/model, and that folder is gone"):
        load_policy(folder)


def test_weights_that_are_missing(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    weights.popitem()
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(PolicyError, match="1 adapter weights are missing"):
        load_policy(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(PolicyError, match=r"has no adapter_model\.safetensors"):
        load_policy(folder)


def test_without_peft_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(PolicyError, match=r"needs PEFT: pip install 'skill0\[peft\]'"):
        load_policy(folder)
    with pytest.raises(ConfigError, match=r"needs PEFT: pip install 'skill0\[peft\]'"):
        adapter_config(LoraSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank must be at least 1"),
        ({"alpha": 0}, "alpha must be at least 1"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"target_modules": ()}, "got none"),
        ({"target_modules": ("q_proj", "qkv")}, "got qkv"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        LoraSettings(**settings)
