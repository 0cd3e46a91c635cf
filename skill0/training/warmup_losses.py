"""The losses of the warm-up, each a pure function of tensors.

Imitation alone does not teach a small model to look things up on a page within minutes (docs/log.md,
"Warm-up"): it reads letters soon, but does not find the row. So attention itself is supervised where the
answer's place is known, and the state at that place must name the fact.

Left out on purpose: transcribing the page letter by letter, which brought nothing on top of naming.
Tests work every loss out by hand: tests/training/test_warmup_losses.py.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_FLOOR = 1e-6  # an attention weight of zero costs -log of this


def imitation_loss(logits: torch.Tensor, targets: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens.

    Args:
        logits: (turns, tokens, vocabulary), at each position for the token that stands there.
        targets: int64 (turns, tokens).
        learned: bool (turns, tokens).
    """
    return functional.cross_entropy(logits[learned], targets[learned])


def choice_loss(logits: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy against a free choice, which takes each of its options equally often.

    Args:
        logits: (choices, vocabulary).
        among: bool (choices, vocabulary), the options.
    """
    shares = among / among.sum(dim=-1, keepdim=True)  # (choices, vocabulary)
    return functional.cross_entropy(logits, shares.to(logits))


def attention_loss(weights: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Mean of -log of the attention that heads pay to the sources together.

    Args:
        weights: (marks, heads, tokens), summing to one over tokens: what a mark's position attends to.
        sources: bool (marks, tokens): the positions that should be attended to.
    """
    paid = (weights * sources[:, None]).sum(dim=-1)  # (marks, heads)
    return -(paid + _FLOOR).log().mean()


def naming_loss(
    states: torch.Tensor, namer: FactNamer, embeddings: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of naming, from the state at a fact's value, its key and its value.

    Args:
        states: (facts, width), hidden states of an inner layer at the visual tokens that show the values.
        embeddings: (vocabulary, width), the token embeddings: a name is recognised by its own embedding.
        keys, values: int64 (facts,), token ids.
    """
    key_logits = namer.key(states) @ embeddings.T  # (facts, vocabulary)
    value_logits = namer.value(states) @ embeddings.T  # (facts, vocabulary)
    return (functional.cross_entropy(key_logits, keys) + functional.cross_entropy(value_logits, values)) / 2


def passing_loss(states: torch.Tensor, embeddings: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of a name that was copied, from the state that it was copied into.

    Args:
        states: (names, width), normalised as the model's last states are.
        embeddings: (vocabulary, width), the output embeddings.
        names: int64 (names,), token ids.
    """
    return functional.cross_entropy(states @ embeddings.T, names)


class FactNamer(nn.Module):
    """Two linear maps from a hidden state to the embeddings of a fact's key and value. Thrown away after the
    warm-up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
