"""The internalization loss, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from skill0.errors import ConfigError
from skill0.training.internalization import gate, internalization_loss, share, treatment_effects, weight


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


def test_a_token_passes_if_skills_were_used_and_helped_and_it_acts() -> None:
    action = torch.tensor([[False, True], [False, True], [True, True], [True, True]])
    used = torch.tensor([True, False, True, True])
    effects = torch.tensor([0.5, 0.5, 0.0, math.nan])
    assert gate(used, effects, action).tolist() == [
        [False, True],
        [False, False],
        [False, False],
        [False, False],
    ]


def test_weights_are_advantages_between_zero_and_a_bound() -> None:
    assert weight(torch.tensor([-1.0, 0.5, 3.0]), 2.0).tolist() == [0.0, 0.5, 2.0]
    with pytest.raises(ConfigError, match="got 0"):
        weight(torch.zeros(1), 0)


def test_the_loss_is_the_weighted_mean_over_open_gates() -> None:
    # Open: ln p = -1 and -3 at weight 2, -4 at weight 1. (2 * 1 + 2 * 3 + 4) / 3 = 4.
    logprobs = torch.tensor([[-1.0, -3.0], [-4.0, -torch.inf]], requires_grad=True)
    gates = torch.tensor([[True, True], [True, False]])
    loss = internalization_loss(logprobs, gates, torch.tensor([2.0, 1.0]))
    assert loss.item() == pytest.approx(4.0)
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad[0].tolist() == pytest.approx([-2 / 3, -2 / 3])


def test_with_all_gates_closed_there_is_nothing_to_learn() -> None:
    logprobs = torch.full((1, 2), -1.0, requires_grad=True)
    loss = internalization_loss(logprobs, torch.zeros(1, 2, dtype=torch.bool), torch.ones(1))
    loss.backward()
    assert loss.item() == 0.0
    assert logprobs.grad is not None
    assert logprobs.grad.abs().sum() == 0.0


def test_its_share_rises_linearly() -> None:
    shares = [share(step, first_step=10, warm_up_steps=4, largest=0.2) for step in (0, 10, 11, 12, 14, 99)]
    assert shares == pytest.approx([0.0, 0.0, 0.05, 0.1, 0.2, 0.2])
    with pytest.raises(ConfigError, match="warm_up_steps=0"):
        share(0, first_step=0, warm_up_steps=0, largest=1.0)
