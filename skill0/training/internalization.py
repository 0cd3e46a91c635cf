"""The internalization loss: what was done with skills is imitated without them.

SIRI (arXiv 2606.02355). Only its abstract and accounts by others could be read; the equations here are the
reconstruction that fits all they say, not the paper's own print:

    effect    Delta_g = mean reward of the group's skill arm - mean reward of its plain arm
    gate      g = 1[skill used] * 1[Delta_g > 0] * 1[action token]
    weight    w = clip(advantage, 0, c)
    loss      L = - sum(g * w * log pi(token | plain context)) / max(1, N)
    share     lambda(k) = lambda_max * min(1, (k - k0) / K), 0 before step k0

The tokens were sampled with skills in context and are scored without, so there are no old log-probabilities
and there is no importance ratio: `logprobs` must come from a forward pass over the plain prompt, which
plain_view.py makes. N is sum(g), or the number of all such tokens in the round (`InternalizationSettings`).
Either is taken over a whole round and all processes.

Chosen where the accounts are silent: hard labels instead of a distribution; a lower bound of 0 on the weight;
a skill was used if skill files were in the context. Deviations: the gate asks that the episode was won, too
(with SIRI's weight the others weigh nothing anyway); Delta_g is in units of the success reward; two other
weights and another choice of tokens, see `InternalizationSettings`. docs/internalization.md tells why.
Pure functions; tests/training/test_internalization.py has numbers worked out by hand.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from skill0.errors import ConfigError

WEIGHTINGS = ("advantage", "effect", "uniform")
TOKENS = ("action", "reply")
MEANS = ("open", "round")


@dataclass(frozen=True)
class InternalizationSettings:
    """`weight` is lambda_max (0 switches the loss off), `start` k0 and `warmup_steps` K, in optimizer steps.

    `clip` is c. `weighting` says what a turn's weight is before it is clipped to [0, c]: its "advantage"
    (SIRI), its group's "effect" Delta_g, or 1 ("uniform"). `tokens`: the "action" tokens (SIRI) or the whole
    "reply". `mean`: the denominator N counts the "open" gates, or those tokens in all turns of the "round",
    of both arms and of groups without pairs, so that the loss fades as gates close. `replay`: so many earlier
    rounds are imitated again, of `memory` that are remembered (replay.py).
    Raises `ConfigError` when a figure is out of range; names are those of `Skill0Config`.
    """

    weight: float = 0.0
    start: int = 0
    warmup_steps: int = 1
    clip: float = 1.0
    weighting: str = "advantage"
    tokens: str = "action"
    mean: str = "open"
    replay: int = 0
    memory: int = 64

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ConfigError(f"internalization_weight={self.weight} must be finite and not negative")
        if not self.clip > 0:
            raise ConfigError(f"internalization_clip={self.clip} must be above 0")
        if self.start < 0 or self.warmup_steps < 1:
            raise ConfigError(
                f"internalization_start={self.start} must be at least 0 and "
                f"internalization_warmup_steps={self.warmup_steps} at least 1"
            )
        if self.weighting not in WEIGHTINGS:
            raise ConfigError(f"internalization_weighting={self.weighting!r} must be one of {WEIGHTINGS}")
        if self.tokens not in TOKENS:
            raise ConfigError(f"internalization_tokens={self.tokens!r} must be one of {TOKENS}")
        if self.replay < 0:
            raise ConfigError(f"internalization_replay={self.replay} must not be negative")
        if self.memory < max(1, self.replay):
            raise ConfigError(
                f"internalization_memory={self.memory} must be at least 1, and at least "
                f"internalization_replay={self.replay}"
            )
        if self.mean not in MEANS:
            raise ConfigError(f"internalization_mean={self.mean!r} must be one of {MEANS}")


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


def passes_gate(*, used: bool, won: bool, effect: float | None) -> bool:
    """Whether an episode's replies are imitated. `effect` is Delta_g of its group, None if it has none."""
    return used and won and effect is not None and effect > 0


def turn_weight(advantage: float, effect: float, settings: InternalizationSettings) -> float:
    """w of one turn: its advantage, its group's effect, or 1; never negative, at most `settings.clip`."""
    raw = {"advantage": advantage, "effect": effect, "uniform": 1.0}[settings.weighting]
    return min(max(raw, 0.0), settings.clip)


def internalization_loss(
    logprobs: torch.Tensor, imitated: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """What these turns add to L, a scalar.

    Args:
        logprobs: of the reply tokens in the *plain* context, (turns, tokens).
        imitated: the gate g of every token, bool (turns, tokens).
        weights: w / max(1, N) of every turn, constants here, (turns,). N is one number for the whole round,
            so L does not depend on how turns are cut into batches and spread over processes.
    """
    # `where`, not a product: a closed position may hold anything, and 0 * inf is not 0.
    return torch.where(imitated, -logprobs * weights.detach()[:, None], 0.0).sum()


def share(step: int, settings: InternalizationSettings) -> float:
    """lambda(k), the loss's factor at optimizer step `step` (from 0): rises linearly from 0 at step `start`
    to `weight`, `warmup_steps` later."""
    return settings.weight * min(1.0, max(0.0, (step - settings.start) / settings.warmup_steps))
