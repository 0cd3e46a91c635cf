"""Sampler and trainer must agree about a probe turn, before training and, to debug, before every round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours import history, make_trainer, parameters
from colours_reader import use_reader

from skill0.errors import ConfigError, PolicyError
from skill0.training import trl_internals
from skill0.training.rollout import TrainerPolicy, VllmPolicy
from skill0.training.sampling_probe import (
    EXACT_TOLERANCE,
    ROUNDED_TOLERANCE,
    agreement,
    check_agreement,
    probe_input,
    tolerance,
)


def sampled_as(trainer: Any, change: Any) -> Any:
    """A stand-in for `trl_internals.vllm_generate` that samples with the trainer's own model, and reports
    what `change` makes of the log-probabilities."""
    own = TrainerPolicy(trainer, batch_size=64)

    def generate(_: Any, prompts: Any, images: Any, sampling: Any) -> Any:
        outputs = own.generate([probe_input(trainer)] * len(prompts), sampling)
        assert [list(output.prompt_ids) for output in outputs] == prompts
        return (
            [list(output.completion_ids) for output in outputs],
            [[change(value) for value in output.logprobs or ()] for output in outputs],
        )

    return generate


def with_vllm(trainer: Any, monkeypatch: pytest.MonkeyPatch, change: Any) -> Any:
    monkeypatch.setattr(trl_internals, "vllm_generate", sampled_as(trainer, change))
    trainer.args.use_vllm = True
    trainer.loop.policy = VllmPolicy(trainer, trainer.encoder)
    return trainer


def test_sampler_and_trainer_agree(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path, temperature=0.7)
    assert tolerance(trainer) == EXACT_TOLERANCE
    found = check_agreement(trainer)
    assert found.tokens >= 2
    assert found.mean <= found.largest < 1e-5
    # The probe is a prompt of the run: it shows the skill of its task.
    assert "warm" in probe_input(trainer).page.text()


def test_adapters_agree_too(colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, lora_dropout=0.5, target_modules=r".*language_model.*\.(q_proj|v_proj)")
    trainer = make_trainer(colours_policy, tmp_path, peft_config=config)
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter += 0.3
    trainer.model.train()
    assert check_agreement(trainer).largest < 1e-5
    assert trainer.model.training
    # And the adapter is seen at all: what it sampled, the model below it scores otherwise.
    scored = trl_internals.token_logprobs

    def without_adapter(*args: Any, **settings: Any) -> Any:
        with trainer.model.disable_adapter():
            return scored(*args, **settings)

    monkeypatch.setattr(trl_internals, "token_logprobs", without_adapter)
    assert agreement(trainer).mean > 0.01


def test_half_precision_has_a_wider_bound(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path)
    trainer.model.to(torch.bfloat16)
    assert tolerance(trainer) == ROUNDED_TOLERANCE
    assert check_agreement(trainer).mean < ROUNDED_TOLERANCE


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda value: value - 0.05, 0.05),
        (lambda value: value - 0.3, 0.3),
        (lambda value: float("nan"), 0.0),  # nothing was reported: nothing to compare
    ],
)
def test_a_sampler_with_other_numbers(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, difference: float
) -> None:
    trainer = with_vllm(make_trainer(colours_policy, tmp_path), monkeypatch, change)
    found = agreement(trainer)
    assert found.mean == pytest.approx(difference, abs=1e-5)
    if difference < ROUNDED_TOLERANCE:
        check_agreement(trainer)
    else:
        with pytest.raises(PolicyError, match=r"differ by 0\.3 nats.*more than 0\.1.*processed_logprobs"):
            check_agreement(trainer)
    trainer.args.sampling_tolerance = 0.5
    check_agreement(trainer)


def test_a_patched_model_is_found_out_before_anything_is_trained(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(colours_policy, tmp_path)
    start = parameters(trainer)
    scored = trl_internals.token_logprobs
    monkeypatch.setattr(
        trl_internals, "token_logprobs", lambda *args, **kwargs: (scored(*args, **kwargs)[0] - 0.01, None)
    )
    with pytest.raises(PolicyError, match=r"differ by 0\.01 nats.*look for code that changes the model"):
        trainer.train()
    assert torch.equal(parameters(trainer), start)


def test_every_synchronisation_is_probed_when_asked_for(colours_policy: Path, tmp_path: Path) -> None:
    found = {}
    for when in ("off", "start", "sync"):
        # Two rounds of two steps.
        trainer = make_trainer(
            colours_policy, tmp_path / when, sampling_probe=when, num_iterations=2, max_steps=4
        )
        trainer.train()
        found[when] = (history(trainer), parameters(trainer))
    probed = [row["step"] for row in found["sync"][0] if "sampling/probe_difference" in row]
    assert probed == [1, 3]
    for row in found["sync"][0]:
        row.pop("sampling/probe_difference", None)
    # A run is trained exactly as one without.
    for when in ("start", "sync"):
        assert found[when][0] == found["off"][0]
        assert torch.equal(found[when][1], found["off"][1])


def test_scripted_policies_are_left_alone(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path, max_steps=2, sampling_probe="sync")
    use_reader(trainer)  # its log-probabilities are made up
    trainer.train()
    assert "sampling/probe_difference" not in history(trainer)[0]


def test_settings_are_checked(colours_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sampling_probe='always'"):
        make_trainer(colours_policy, tmp_path, sampling_probe="always")
    with pytest.raises(ConfigError, match="sampling_tolerance=0"):
        make_trainer(colours_policy, tmp_path, sampling_tolerance=0.0)
