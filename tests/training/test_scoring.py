"""Scoring before the update: what the trainer makes of a sampler that computes other probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import make_trainer

from skill0.policy.adapters import LoraSettings, adapter_config
from skill0.training import rounds, trl_internals
from skill0.training.scoring import score_windows


def round_of(policy: Path, folder: Path, **changes: Any) -> tuple[Any, list[Any]]:
    trainer = make_trainer(policy, folder, skills=None, **changes)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer, rounds.make_round(trainer, [{"task": position // 4} for position in range(16)])


def real_items(windows: list[Any]) -> list[Any]:
    return [item for window in windows for batch in window for item in batch if not item.is_padding]


def test_with_one_update_a_round_nothing_is_scored(colours_policy: Path, tmp_path: Path) -> None:
    _, windows = round_of(colours_policy, tmp_path)
    assert all(item.old_logprobs is None and item.reference_logprobs is None for item in real_items(windows))


def test_sampler_and_trainer_agree_here(colours_policy: Path, tmp_path: Path) -> None:
    """So the sampler's numbers are kept, and a forward pass over the round gives the same."""
    trainer, windows = round_of(colours_policy, tmp_path, num_iterations=2, temperature=0.7)
    items = real_items(windows)
    assert all(item.old_logprobs.tolist() == pytest.approx(item.turn.logprobs, abs=1e-7) for item in items)
    trainer.args.check_sampling = True
    assert score_windows(trainer, windows)["sampling/logp_difference_max"] < 1e-4


def test_rounded_log_probabilities_of_a_sampler_are_not_trusted(colours_policy: Path, tmp_path: Path) -> None:
    """In bfloat16 generation and training differ by rounding; the round is scored by the trainer."""
    trainer, windows = round_of(colours_policy, tmp_path, num_iterations=2)
    items = real_items(windows)
    for item in items:
        item.turn = replace(item.turn, logprobs=(math.nan,) * len(item.turn.logprobs))
    trainer.model.to(torch.bfloat16)
    score_windows(trainer, windows)
    assert all(item.old_logprobs.isfinite().all() for item in items)


@pytest.mark.filterwarnings("ignore:this model has dropout")
def test_a_round_is_scored_without_dropout_as_it_was_drawn(colours_policy: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapter = adapter_config(LoraSettings(rank=2, dropout=0.5))
    trainer, windows = round_of(
        colours_policy, tmp_path, num_iterations=2, check_sampling=True, peft_config=adapter
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:  # 0 as it is made: there would be nothing to drop
                weight.normal_()
    windows = rounds.make_round(trainer, [{"task": position // 4} for position in range(16)])
    assert score_windows(trainer, windows)["sampling/logp_difference_max"] < 1e-4
    assert trainer.model.training
    (_, first), (_, second) = (
        trl_internals.token_logprobs(trainer, trainer.model, trainer.collate(windows[0][0]), entropies=True)
        for _ in range(2)
    )
    assert not torch.allclose(first, second, atol=1e-2)  # learning does drop


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # The sampler says exp(-0.1) of the trainer's probability for every token: ratio exp(0.1).
        ("token_truncate", lambda length: [min(math.exp(0.1), 1.05)] * length),
        ("token_mask", lambda length: [0.0] * length),
        ("sequence_truncate", lambda length: [min(math.exp(0.1 * length), 1.05)]),
    ],
)
def test_a_sampler_with_other_probabilities_is_corrected(
    colours_policy: Path, tmp_path: Path, mode: str, expected: Any
) -> None:
    trainer, windows = round_of(colours_policy, tmp_path)
    items = real_items(windows)
    # As if vLLM had played the round: the settings, and its own log-probabilities.
    trainer.args.use_vllm = True
    trainer.args.vllm_importance_sampling_mode = mode
    trainer.args.vllm_importance_sampling_clip_max = 1.05
    before = [trainer.compute_loss(trainer.model, window) for window in windows]
    for item in items:
        item.turn = replace(item.turn, logprobs=tuple(value - 0.1 for value in item.turn.logprobs))
    found = score_windows(trainer, windows)
    assert found["sampling/logp_difference_mean"] == pytest.approx(0.1, abs=1e-4)
    assert found["sampling/logp_difference_max"] == pytest.approx(0.1, abs=1e-4)
    for item in items:
        assert item.sampler_ratio.tolist() == pytest.approx(expected(len(item.turn.completion_ids)), abs=1e-4)
        assert item.old_logprobs is not None
    for window, loss in zip(windows, before, strict=True):
        trainer.model.zero_grad()
        corrected = trainer.compute_loss(trainer.model, window)
        if mode == "token_mask":
            assert corrected.item() == 0.0
        else:
            assert corrected.item() == pytest.approx(1.05 * loss.item(), abs=1e-5)


def test_an_unreported_log_probability_is_left_alone(colours_policy: Path, tmp_path: Path) -> None:
    trainer, windows = round_of(colours_policy, tmp_path)
    trainer.args.use_vllm = True
    for item in real_items(windows):
        item.turn = replace(item.turn, logprobs=(math.nan,) * len(item.turn.logprobs))
    found = score_windows(trainer, windows)
    assert found["sampling/logp_difference_mean"] == 0.0
    for item in real_items(windows):
        assert torch.equal(item.sampler_ratio, torch.ones_like(item.sampler_ratio))
