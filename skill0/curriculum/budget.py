"""How many skill files may stay in context at each stage, and how many stages keep training stable.

SKILL0 (arXiv 2604.02268), equation 6 and the conclusion of equations 7-14 (appendix). No deviation; the
derivation of the bound is not code, only its result is. Tests: tests/curriculum/test_budget.py.
"""

from __future__ import annotations

import math

from skill0.errors import ConfigError


def budget(stage: int, num_stages: int, num_files: int) -> int:
    """Equation 6: M(s) = ceil(N (N_S - s) / (N_S - 1)), the most files allowed in context at `stage`.

    `stage` s counts from 1 to `num_stages` N_S; `num_files` is N. M(1) = N and M(N_S) = 0.

    Raises:
        ConfigError: fewer than two stages (the equation divides by N_S - 1), no files, or a stage outside.
    """
    if num_stages < 2:
        raise ConfigError(
            f"the linear budget needs at least 2 stages, got num_stages={num_stages}; "
            "for a single stage give its budget explicitly, such as budgets=[6]"
        )
    if num_files < 1:
        raise ConfigError(f"a budget needs at least one skill file, got num_files={num_files}")
    if not 1 <= stage <= num_stages:
        raise ConfigError(f"stages count from 1 to num_stages={num_stages}, got stage={stage}")
    numerator, denominator = num_files * (num_stages - stage), num_stages - 1
    return -(-numerator // denominator)  # the ceiling in whole numbers: no rounding error for any N


def linear_budgets(num_stages: int, num_files: int) -> tuple[int, ...]:
    """Equation 6 for every stage: (M(1), ..., M(N_S)). Six files and three stages give (6, 3, 0)."""
    return tuple(budget(stage, num_stages, num_files) for stage in range(1, num_stages + 1))


def stage_of(step: int, total_steps: int, num_stages: int) -> int:
    """The stage, counted from 1, that training step `step` (counted from 0) belongs to.

    Stages are as equal as whole steps allow: stage s holds the steps with
    (s - 1) * total_steps <= step * num_stages < s * total_steps. Steps at or past the end stay in the last.
    """
    if step < 0:
        raise ConfigError(f"steps count from 0, got step={step}")
    return min(num_stages, step * num_stages // total_steps + 1)


def first_step(stage: int, total_steps: int, num_stages: int) -> int:
    """The first step of `stage`: the smallest step for which `stage_of` gives it."""
    return -(-(stage - 1) * total_steps // num_stages)


def context_shift(num_stages: int, num_files: int) -> float:
    """Equations 7-14: files withdrawn per stage, N / (N_S - 1), which bounds the context's shift."""
    if num_stages < 2:
        raise ConfigError(f"there is a shift between stages only from 2 stages on, got {num_stages}")
    return num_files / (num_stages - 1)


def sufficient_stages(num_files: int, file_shift: float, clip_epsilon: float, reward_std: float) -> int:
    """Equations 7-14: the fewest stages with N_S > 1 + N * delta_r / (eps_clip * sigma_G).

    Args:
        num_files: N, the number of skill files.
        file_shift: delta_r, by how much withdrawing one file can move the expected reward.
        clip_epsilon: eps_clip, the clipping range of the policy ratio.
        reward_std: sigma_G, the standard deviation of rewards within a rollout group.

    Raises:
        ConfigError: a clipping range or standard deviation that is not positive, or a negative shift: the
            bound is then infinite or meaningless.
    """
    if clip_epsilon <= 0 or reward_std <= 0:
        raise ConfigError(f"clip_epsilon={clip_epsilon} and reward_std={reward_std} must both be above 0")
    if file_shift < 0 or num_files < 1:
        raise ConfigError(f"file_shift={file_shift} must not be negative, nor num_files={num_files} below 1")
    bound = 1 + num_files * file_shift / (clip_epsilon * reward_std)
    return max(2, math.floor(bound) + 1)  # strictly greater than the bound
