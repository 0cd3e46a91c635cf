"""The warm-up's losses, each worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from skill0.training.warmup_losses import (
    FactNamer,
    attention_loss,
    choice_loss,
    imitation_loss,
    naming_loss,
    passing_loss,
)


def test_imitation_is_the_mean_cross_entropy_of_the_learned_tokens():
    logits = torch.zeros(1, 3, 4)  # uniform over four tokens: each costs ln 4
    logits[0, 1] = torch.tensor([math.log(3), 0.0, 0.0, 0.0])  # softmax (3, 1, 1, 1) / 6
    targets = torch.tensor([[2, 0, 3]])
    # Learned are the first (ln 4) and the second (-ln 3/6 = ln 2); the third does not count.
    learned = torch.tensor([[True, True, False]])
    assert imitation_loss(logits, targets, learned).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_a_free_choice_wants_every_option_equally_often():
    # softmax (4, 2, 1, 1) / 8; of the options 0 and 1 each should come every other time:
    # -(ln 4/8 + ln 2/8) / 2 = (ln 2 + ln 4) / 2 = 1.5 ln 2.
    logits = torch.tensor([[math.log(4), math.log(2), 0.0, 0.0]])
    among = torch.tensor([[True, True, False, False]])
    assert choice_loss(logits, among).item() == pytest.approx(1.5 * math.log(2))


def test_attention_counts_what_heads_pay_to_all_sources_together():
    # One mark, two heads, four positions.
    weights = torch.tensor([[[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0]]])
    first_two = torch.tensor([[True, True, False, False]])
    # Head 0 pays 3/4 to positions 0 and 1; head 1 pays nothing, which costs -ln of the floor 1e-6.
    assert attention_loss(weights[:, :1], first_two).item() == pytest.approx(-math.log(0.75), abs=1e-5)
    both = attention_loss(weights, first_two)
    assert both.item() == pytest.approx((-math.log(0.75) - math.log(1e-6)) / 2, rel=1e-4)


def test_naming_asks_a_state_for_key_and_value_by_their_embeddings():
    namer = FactNamer(2)
    with torch.no_grad():
        for linear in (namer.key, namer.value):
            linear.weight.copy_(torch.eye(2))
            linear.bias.zero_()
    embeddings = torch.eye(2)
    states = torch.tensor([[math.log(3), 0.0]])  # softmax (3, 1) / 4 over the two tokens
    # The key is token 0: ln 4/3. The value is token 1: ln 4.
    loss = naming_loss(states, namer, embeddings, torch.tensor([0]), torch.tensor([1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_a_name_that_was_passed_on_is_the_one_its_state_resembles_most():
    embeddings = torch.eye(3)
    # softmax (2, 1, 1) / 4 for name 0, which costs ln 2; name 2's state says nothing: ln 3.
    states = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, 0.0]])
    loss = passing_loss(states, embeddings, torch.tensor([0, 2]))
    assert loss.item() == pytest.approx((math.log(2) + math.log(3)) / 2)
