"""The internalization loss, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from skill0.training.internalization import (
    InternalizationSettings,
    internalization_loss,
    passes_gate,
    share,
    treatment_effects,
    turn_weight,
)


def test_the_effect_compares_the_arms_of_a_group() -> None:
    # Group a: with skills 10 and 0, without 0 and 0: 5 - 0. Group b: 0 with, 10 without: -10.
    effects = treatment_effects(
        [10, 0, 0, 0, 0, 10], ["a", "a", "a", "a", "b", "b"], [True, True, False, False, True, False]
    )
    assert effects == {"a": 5.0, "b": -10.0}


def test_failures_do_not_count_and_an_empty_arm_has_no_effect() -> None:
    effects = treatment_effects(
        [10, -99, 0, 10], ["a", "a", "a", "b"], [True, True, False, True], [True, False, True, True]
    )
    assert effects == {"a": 10.0, "b": None}


def test_an_episode_passes_if_skills_were_used_and_helped_and_it_was_won() -> None:
    assert passes_gate(used=True, won=True, effect=0.5)
    assert not passes_gate(used=False, won=True, effect=0.5)
    assert not passes_gate(used=True, won=False, effect=0.5)
    for effect in (0.0, -0.5, None):
        assert not passes_gate(used=True, won=True, effect=effect)


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [("advantage", [0.0, 0.5, 2.0]), ("effect", [0.25] * 3), ("uniform", [1.0] * 3)],
)
def test_weights_lie_between_zero_and_a_bound(weighting: str, expected: list[float]) -> None:
    settings = InternalizationSettings(clip=2.0, weighting=weighting)
    assert [turn_weight(advantage, 0.25, settings) for advantage in (-1.0, 0.5, 3.0)] == expected


def test_the_loss_is_the_weighted_mean_over_open_gates() -> None:
    # Open: ln p = -1 and -3 at w = 2, -4 at w = 1; three gates. (2 * 1 + 2 * 3 + 4) / 3 = 4.
    logprobs = torch.tensor([[-1.0, -3.0], [-4.0, -torch.inf]], requires_grad=True)
    imitated = torch.tensor([[True, True], [True, False]])
    weights = torch.tensor([2.0, 1.0]) / 3
    loss = internalization_loss(logprobs, imitated, weights)
    assert loss.item() == pytest.approx(4.0)
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [pytest.approx([-2 / 3, -2 / 3]), pytest.approx([-1 / 3, 0.0])]
    # Cut in two it is the same sum.
    parts = [
        internalization_loss(logprobs[i : i + 1], imitated[i : i + 1], weights[i : i + 1]) for i in (0, 1)
    ]
    assert sum(part.item() for part in parts) == pytest.approx(4.0)


def test_masked_tokens_have_no_gradient_at_all() -> None:
    # Logits of three positions over four tokens; only the middle position is imitated.
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logprobs = torch.log_softmax(logits, dim=-1)[:, :, 0]
    internalization_loss(logprobs, torch.tensor([[False, True, False]]), torch.ones(1)).backward()
    assert logits.grad is not None
    assert logits.grad[0, [0, 2]].abs().max() == 0.0
    assert logits.grad[0, 1].abs().min() > 0.0


def test_its_share_rises_linearly() -> None:
    settings = InternalizationSettings(weight=0.2, start=10, warmup_steps=4)
    shares = [share(step, settings) for step in (0, 10, 11, 12, 14, 99)]
    assert shares == pytest.approx([0.0, 0.0, 0.05, 0.1, 0.2, 0.2])
