"""The policy loss: per-token objectives and the means they are put together with. Pure functions on tensors.

SKILL0 (arXiv 2604.02268), equation 5: the clipped policy ratio times the advantage at every completion token,
averaged over all tokens of a trajectory (all its turns), then over the trajectories of a group, then over
groups; minus beta times the KL divergence from a reference policy.

Both means are a weight per token, fixed before training starts on a batch: the loss is the weighted *sum*
over tokens. So it is the same number however the turns are cut into micro-batches and spread over
processes, which TRL's means over the rows of a micro-batch are not. That is why this file stands beside
TRL's `_compute_loss` instead of calling it; tests/training/test_loss.py holds both equal, value and gradient,
where TRL's normalisation is exact.

TRL's loss types are an objective and a mean each (`TRL_LOSS_TYPES`). Left out: off-policy masks and entropy
masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from skill0.errors import ConfigError

MEANS = ("trajectory", "token", "row", "row_sum", "constant")
OBJECTIVES = ("grpo", "cispo", "sapo", "vespo")

TRL_LOSS_TYPES: dict[str, tuple[str, str]] = {
    "grpo": ("grpo", "row"),
    "dapo": ("grpo", "token"),
    "bnpo": ("grpo", "token"),
    "dr_grpo": ("grpo", "constant"),
    "luspo": ("grpo", "row_sum"),
    "cispo": ("cispo", "token"),
    "sapo": ("sapo", "row"),
    "vespo": ("vespo", "token"),
}
"""What TRL calls a loss type, as (`loss_type`, `loss_mean`) of `Skill0Config`; a row is a turn."""


@dataclass(frozen=True)
class LossSettings:
    """`objective` is one of `OBJECTIVES`; the policy ratio is clipped to [1 - epsilon_low, 1 + epsilon_high]
    (for "cispo" epsilon_high is the upper bound itself); `delta` bounds the unclipped ratio from above;
    `ratio_level` is "token", or "sequence" for one ratio per turn; `unbiased_kl` weighs the KL estimate
    with the policy ratio; `sapo_temperatures` are for positive and negative advantages; `vespo` holds k and
    lambda of VESPO's weight for advantages of at least 0, then k and lambda for negative ones."""

    objective: str = "grpo"
    epsilon_low: float = 0.2
    epsilon_high: float = 0.2
    delta: float | None = None
    ratio_level: str = "token"
    beta: float = 0.0
    unbiased_kl: bool = True
    entropy_coef: float = 0.0
    sapo_temperatures: tuple[float, float] = (1.0, 1.05)
    vespo: tuple[float, float, float, float] = (2.0, 3.0, 3.0, 2.0)


STATISTICS = ("tokens", "entropy", "kl", "clipped_low", "clipped_high")


@dataclass(frozen=True)
class LossParts:
    """`loss`: a scalar with gradient. `sums`: float64 (len(STATISTICS),), sums over unmasked tokens."""

    loss: torch.Tensor
    sums: torch.Tensor


def trajectory_weights(
    tokens: Sequence[int], groups: Sequence[int], counted: Sequence[bool], mean: str
) -> list[float]:
    """The weight of every completion token of each trajectory; over all counted tokens they sum to 1.

    Args:
        tokens: completion tokens of each trajectory, over all its turns.
        groups: the rollout group each belongs to.
        counted: False for infrastructure failures, which weigh nothing.
        mean: "trajectory" (equation 5) gives every group the same weight, shared equally by its trajectories,
            each shared equally by its tokens; "token" gives every token the same.

    A trajectory without completion tokens counts as failed: it has nothing to train on.

    Raises:
        ConfigError: another mean; those of turns are in `turn_weights`.
    """
    if mean not in ("trajectory", "token"):
        raise ConfigError(f"loss_mean={mean!r} must be one of {MEANS}")
    counts = [length if count else 0 for length, count in zip(tokens, counted, strict=True)]
    if mean == "token":
        total = sum(counts)
        return [1.0 / total if length else 0.0 for length in counts]
    sizes: dict[int, int] = {}
    for length, group in zip(counts, groups, strict=True):
        if length:
            sizes[group] = sizes.get(group, 0) + 1
    return [
        1.0 / (len(sizes) * sizes[group] * length) if length else 0.0
        for length, group in zip(counts, groups, strict=True)
    ]


def turn_weights(
    turn_tokens: Sequence[Sequence[int]],
    groups: Sequence[int],
    counted: Sequence[bool],
    mean: str,
    longest: int,
) -> list[tuple[float, ...]]:
    """The weight of every completion token of each turn, for any of `MEANS`.

    `turn_tokens[i][t]` are the completion tokens of turn t of trajectory i; `groups` and `counted` as in
    `trajectory_weights`. With N turns in the round that count and have tokens, "row" gives each turn 1 / N,
    shared equally by its tokens; "row_sum" gives every token 1 / N; "constant" every token
    1 / (N * `longest`), where `longest` is the most tokens of a reply. The last two do not sum to 1: the
    loss grows with the length of replies.
    """
    if mean in ("trajectory", "token"):
        weights = trajectory_weights([sum(tokens) for tokens in turn_tokens], groups, counted, mean)
        return [(weight,) * len(tokens) for weight, tokens in zip(weights, turn_tokens, strict=True)]
    if mean not in MEANS:
        raise ConfigError(f"loss_mean={mean!r} must be one of {MEANS}")
    rows = sum(
        sum(length > 0 for length in tokens)
        for tokens, counts in zip(turn_tokens, counted, strict=True)
        if counts
    )
    return [
        tuple(
            1.0 / (rows * {"row": length, "row_sum": 1, "constant": longest}[mean])
            if counts and length
            else 0.0
            for length in tokens
        )
        for tokens, counts in zip(turn_tokens, counted, strict=True)
    ]


def policy_loss(
    logprobs: torch.Tensor,
    entropies: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    weights: torch.Tensor,
    settings: LossSettings,
    *,
    old_logprobs: torch.Tensor | None = None,
    reference_logprobs: torch.Tensor | None = None,
    sampler_ratio: torch.Tensor | None = None,
    entropy_weights: torch.Tensor | None = None,
) -> LossParts:
    """Weighted sum of the per-token loss over one micro-batch.

    Args:
        logprobs, entropies: under the policy being trained, (turns, tokens).
        mask: 1 on completion tokens, 0 on padding and on padding turns, (turns, tokens).
        advantages, weights: one per turn, (turns,).
        old_logprobs: under the policy that is improved on, (turns, tokens); `logprobs` detached when None.
        reference_logprobs: needed when `settings.beta` is not 0, (turns, tokens).
        sampler_ratio: trainer over sampler probability, to correct for a sampler that computes other
            numbers, (turns, tokens) or (turns, 1). It multiplies the objective, but is part of VESPO's
            weight.
        entropy_weights: of the entropy bonus, one per turn, (turns,); `weights` when None.
    """
    keep = mask.to(logprobs.dtype)  # (turns, tokens)
    advantage = advantages.to(logprobs.dtype)[:, None]  # (turns, 1)
    old = logprobs.detach() if old_logprobs is None else old_logprobs  # (turns, tokens)
    log_ratio = logprobs - old  # (turns, tokens)
    if settings.ratio_level == "sequence":
        log_ratio = ((log_ratio * keep).sum(1) / keep.sum(1).clamp(min=1.0))[:, None]  # (turns, 1)
    ratio = torch.exp(log_ratio)  # (turns, tokens), or (turns, 1) for "sequence"
    if settings.objective == "vespo":
        weight = vespo_weight(logprobs - old, advantage, keep, settings.vespo, sampler_ratio)  # (turns, 1)
        per_token = -weight * advantage * logprobs  # (turns, tokens)
    else:
        per_token = _objective(ratio, logprobs, advantage, settings)  # (turns, tokens)
        if sampler_ratio is not None:
            per_token = per_token * sampler_ratio
    kl = torch.zeros_like(logprobs)  # (turns, tokens)
    if settings.beta != 0.0:
        if reference_logprobs is None:
            raise ValueError("a loss with beta needs the reference policy's log-probabilities")
        distance = reference_logprobs - logprobs
        kl = torch.exp(distance) - distance - 1
        per_token = per_token + settings.beta * (kl * ratio if settings.unbiased_kl else kl)
    if settings.entropy_coef != 0.0 and entropy_weights is None:
        per_token = per_token - settings.entropy_coef * entropies
    # `where`, not a product: a padding position may hold anything, and 0 * inf is not 0.
    weighted = torch.where(keep > 0, per_token * weights.to(logprobs.dtype)[:, None], 0.0)  # (turns, tokens)
    loss = weighted.sum()
    if settings.entropy_coef != 0.0 and entropy_weights is not None:
        shares = entropy_weights.to(logprobs.dtype)[:, None]  # (turns, 1)
        loss = loss - settings.entropy_coef * torch.where(keep > 0, entropies * shares, 0.0).sum()
    return LossParts(loss, _sums(ratio, advantage, keep, entropies, kl, settings))


def sampler_correction(
    trainer_logprobs: torch.Tensor,
    sampler_logprobs: torch.Tensor,
    mask: torch.Tensor,
    *,
    mode: str,
    clip_min: float | None,
    clip_max: float | None,
) -> torch.Tensor:
    """Importance ratio between the trainer's and the sampler's probabilities of the sampled tokens.

    The first three are (turns, tokens). `mode` is TRL's `vllm_importance_sampling_mode`: one ratio per token
    or per turn ("sequence"), and ratios outside [clip_min, clip_max] are clamped ("truncate") or set to 0
    ("mask"). A sampler log-probability that is NaN (not reported) gives ratio 1. Returns (turns, tokens)
    or (turns, 1).
    """
    level, _, treatment = mode.partition("_")
    if level not in ("token", "sequence") or treatment not in ("truncate", "mask"):
        raise ConfigError(f"vllm_importance_sampling_mode={mode!r} must be (token|sequence)_(truncate|mask)")
    difference = torch.nan_to_num((trainer_logprobs - sampler_logprobs) * mask, nan=0.0)  # (turns, tokens)
    if level == "sequence":
        difference = difference.sum(1, keepdim=True)  # (turns, 1)
    ratio = torch.exp(difference)
    low = -math.inf if clip_min is None else clip_min
    high = math.inf if clip_max is None else clip_max
    if treatment == "truncate":
        return ratio.clamp(min=low, max=high)
    return torch.where((ratio < low) | (ratio > high), 0.0, ratio)


@torch.no_grad()
def vespo_weight(
    log_ratio: torch.Tensor,
    advantage: torch.Tensor,
    keep: torch.Tensor,
    constants: tuple[float, float, float, float],
    sampler_ratio: torch.Tensor | None = None,
) -> torch.Tensor:
    """VESPO's weight of a turn, w^k * exp(lambda * (1 - w)), which is 1 at w = 1; a constant, (turns, 1).

    w is the probability of the whole reply under the policy over that under the sampler: `log_ratio` (turns,
    tokens) is the policy's against the one it improves on, `sampler_ratio` (turns, tokens) that one's against
    the sampler. `advantage` (turns, 1) chooses k and lambda, see `LossSettings.vespo`. Bounds are TRL's.
    """
    least, most = math.log(1e-8), 20.0
    total = torch.where(keep > 0, log_ratio.clamp(-most, most), 0.0).sum(1, keepdim=True)  # (turns, 1)
    if sampler_ratio is not None:
        correction = torch.log(sampler_ratio).clamp(least, most)  # (turns, tokens)
        total = total + torch.where(keep > 0, correction, 0.0).sum(1, keepdim=True)
    total = total.clamp(least, most)
    k_positive, lambda_positive, k_negative, lambda_negative = constants
    k = torch.where(advantage >= 0, k_positive, k_negative)  # (turns, 1)
    decay = torch.where(advantage >= 0, lambda_positive, lambda_negative).clamp(min=1e-4)  # (turns, 1)
    return torch.exp(decay + k * total - decay * total.exp()).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _objective(
    ratio: torch.Tensor, logprobs: torch.Tensor, advantage: torch.Tensor, settings: LossSettings
) -> torch.Tensor:
    if settings.objective == "grpo":
        clipped = ratio.clamp(1 - settings.epsilon_low, 1 + settings.epsilon_high)
        bounded = ratio if settings.delta is None else ratio.clamp(max=settings.delta)
        return -torch.min(bounded * advantage, clipped * advantage)
    if settings.objective == "cispo":
        return -ratio.clamp(max=settings.epsilon_high).detach() * advantage * logprobs
    if settings.objective == "sapo":
        positive, negative = settings.sapo_temperatures
        temperature = torch.where(advantage > 0, positive, negative)  # (turns, 1)
        return -torch.sigmoid(temperature * (ratio - 1)) * 4 / temperature * advantage
    raise ConfigError(f"loss_type={settings.objective!r} must be one of {OBJECTIVES}")


@torch.no_grad()
def _sums(
    ratio: torch.Tensor,
    advantage: torch.Tensor,
    keep: torch.Tensor,
    entropies: torch.Tensor,
    kl: torch.Tensor,
    settings: LossSettings,
) -> torch.Tensor:
    if settings.objective == "grpo":
        low = (ratio < 1 - settings.epsilon_low) & (advantage < 0)
        high = (ratio > 1 + settings.epsilon_high) & (advantage > 0)
    else:
        low = torch.zeros_like(ratio, dtype=torch.bool)
        high = (ratio > settings.epsilon_high) & (advantage > 0) if settings.objective == "cispo" else low
    parts = (keep, entropies, kl, low, high)
    return torch.stack([torch.where(keep > 0, part.double(), 0.0).sum() for part in parts])
