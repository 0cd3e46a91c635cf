"""An explicit internalization loss: what was done with skills is imitated without them. Not wired yet.

SIRI (arXiv 2606.02355). Only its abstract and accounts by others could be read; the equations here are the
reconstruction that fits all they say, not the paper's own print:

    effect    Delta_g = mean reward of the group's skill arm - mean reward of its plain arm
    gate      g = 1[skill used] * 1[Delta_g > 0] * 1[action token]
    weight    w = clip(advantage, 0, c)
    loss      L = - sum(g * w * log pi(token | plain context)) / max(1, sum(g))
    share     lambda(k) = lambda_max * min(1, (k - k0) / K), 0 before step k0

Chosen where the accounts are silent: hard labels instead of a distribution, a lower bound of 0 on the weight,
"used" decided by the caller. The tokens were sampled with skills in context and are scored without, so there
are no old log-probabilities and there is no importance ratio: `logprobs` must come from a forward pass over
the plain page. Pure functions; tests/training/test_internalization.py has numbers worked out by hand.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from skill0.errors import ConfigError


def treatment_effects(
    rewards: Sequence[float],
    groups: Sequence[Hashable],
    with_skills: Sequence[bool],
    counted: Sequence[bool] | None = None,
) -> dict[Hashable, float | None]:
    """Delta_g of every group: mean reward of its skill arm less that of its plain arm.

    One entry per trajectory. Those that are not `counted` (infrastructure failures) are left out; a group
    with an empty arm has no effect, None.
    """
    counts = [True] * len(rewards) if counted is None else counted
    arms: dict[Hashable, tuple[list[float], list[float]]] = {group: ([], []) for group in groups}
    for reward, group, skilled, counts_here in zip(rewards, groups, with_skills, counts, strict=True):
        if counts_here:
            arms[group][0 if skilled else 1].append(reward)
    return {
        group: sum(skilled) / len(skilled) - sum(plain) / len(plain) if skilled and plain else None
        for group, (skilled, plain) in arms.items()
    }


def gate(used: torch.Tensor, effects: torch.Tensor, action_mask: torch.Tensor) -> torch.Tensor:
    """Which tokens are imitated, bool (turns, tokens).

    `used` bool (turns,): a skill was used on the turn's trajectory. `effects` (turns,): Delta_g of its
    group; NaN (no effect known) closes the gate. `action_mask` bool (turns, tokens): `Turn.action_mask`,
    padded.
    """
    return (used & (effects > 0))[:, None] & action_mask


def weight(advantages: torch.Tensor, largest: float) -> torch.Tensor:
    """How much each turn is imitated: its advantage, never negative, at most `largest`, (turns,)."""
    if not largest > 0:
        raise ConfigError(f"the largest internalization weight must be above 0, got {largest}")
    return advantages.clamp(0.0, largest)


def internalization_loss(logprobs: torch.Tensor, gates: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The loss, a scalar; 0 where every gate is closed.

    `logprobs` (turns, tokens): of the completion tokens in the *plain* context. `gates` bool (turns,
    tokens). `weights` (turns,), which are constants here.
    """
    chosen = torch.where(gates, -logprobs * weights.detach()[:, None], 0.0)  # (turns, tokens)
    return chosen.sum() / gates.sum().clamp(min=1)


def share(step: int, *, first_step: int, warm_up_steps: int, largest: float) -> float:
    """lambda(k), the loss's factor at training step `step`: rises linearly from 0 at `first_step` to
    `largest`, `warm_up_steps` later."""
    if warm_up_steps < 1:
        raise ConfigError(f"warm_up_steps={warm_up_steps} must be at least 1")
    return largest * min(1.0, max(0.0, (step - first_step) / warm_up_steps))
