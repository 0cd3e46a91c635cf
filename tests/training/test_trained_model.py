"""The model that is trained: its dtype, its attention, its adapter, and what is said of all three."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import history, make_trainer, parameters

from skill0.errors import ConfigError, PolicyError
from skill0.policy import load_policy, save_policy
from skill0.policy.adapters import LoraSettings, adapter_config


@pytest.fixture(scope="module")
def rounded(colours_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny policy saved in bfloat16, as the published models are."""
    model, processor = load_policy(colours_policy)
    return save_policy(model.to(torch.bfloat16), processor, tmp_path_factory.mktemp("rounded") / "policy")


def share_moved(policy: Path, folder: Path, **changes: Any) -> float:
    """Share of the weights that four steps of 1e-6 change, of those that have a gradient."""
    trainer = make_trainer(policy, folder, skills=None, learning_rate=1e-6, entropy_coef=0.1, **changes)
    before = parameters(trainer)
    trainer.train()
    trained = torch.cat([
        torch.full((weight.numel(),), ".layers." in name, dtype=torch.bool)
        for name, weight in trainer.model.named_parameters()
    ])  # fmt: skip
    return float((parameters(trainer) != before)[trained].double().mean())


def test_published_weights_of_16_bits_are_trained_in_float32(rounded: Path, tmp_path: Path) -> None:
    assert load_policy(rounded)[0].dtype is torch.bfloat16
    assert share_moved(rounded, tmp_path) > 0.9


def test_in_16_bits_small_steps_are_rounded_away_which_is_said(rounded: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"trained weights have 16 bits.*Load the model in float32"):
        moved = share_moved(rounded, tmp_path, model_init_kwargs={"dtype": "bfloat16"})
    assert moved < 0.1


def test_attention_can_be_chosen_for_the_policy_and_its_reference(
    colours_policy: Path, tmp_path: Path
) -> None:
    options = {"attn_implementation": "eager"}
    trainer = make_trainer(colours_policy, tmp_path, model_init_kwargs=options, beta=0.1)
    assert trainer.model.config._attn_implementation == "eager"
    assert trainer.ref_model.config._attn_implementation == "eager"
    assert trainer.args.model_init_kwargs == options


def test_options_for_a_model_that_is_loaded_are_refused(colours_policy: Path, tmp_path: Path) -> None:
    model, _ = load_policy(colours_policy)
    with pytest.raises(ConfigError, match="one was given that is loaded already"):
        make_trainer(colours_policy, tmp_path, model=model, model_init_kwargs={"dtype": "float32"})


class TestAdapter:
    @pytest.fixture(autouse=True)
    def _needs_peft(self) -> None:
        pytest.importorskip("peft")

    def test_frozen_weights_may_have_16_bits(self, rounded: Path, tmp_path: Path) -> None:
        """The adapter's own are float32, so nothing is warned of."""
        trainer = make_trainer(
            rounded, tmp_path, peft_config=adapter_config(LoraSettings(rank=2)), max_steps=1, skills=None,
            model_init_kwargs={"dtype": "bfloat16"},
        )  # fmt: skip
        frozen = {weight.dtype for weight in trainer.model.parameters() if not weight.requires_grad}
        trained = {weight.dtype for weight in trainer.model.parameters() if weight.requires_grad}
        assert (frozen, trained) == ({torch.bfloat16}, {torch.float32})
        trainer.train()
        assert len(history(trainer)) == 1

    def test_dropout_beside_ratios_is_warned_of(self, colours_policy: Path, tmp_path: Path) -> None:
        def made(**changes: Any) -> None:
            adapter = adapter_config(LoraSettings(rank=2, dropout=0.1))
            make_trainer(colours_policy, tmp_path, peft_config=adapter, **changes)

        for changes in ({"num_iterations": 2}, {"beta": 0.1}):
            with pytest.warns(UserWarning, match="this model has dropout"):
                made(**changes)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made()  # one step a round: its ratios are 1
            made(num_iterations=2, disable_dropout=True)

    def test_a_model_with_an_adapter_added_to_it_has_no_reference_of_its_own(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        trainer = make_trainer(
            colours_policy, tmp_path / "run", peft_config=adapter_config(LoraSettings(rank=2))
        )
        trainer.save_model(str(tmp_path / "adapter"))
        with pytest.raises(PolicyError, match=r"beta=0\.1 .*one with an adapter added to it; save it"):
            make_trainer(tmp_path / "adapter", tmp_path / "run", beta=0.1)
        # A further adapter can be switched off: what is left is its reference.
        make_trainer(
            tmp_path / "adapter", tmp_path / "run", beta=0.1,
            peft_config=adapter_config(LoraSettings(rank=2)),
        )  # fmt: skip
