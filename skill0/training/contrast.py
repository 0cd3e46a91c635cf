"""Contrastive skill credit: what a success without skills is worth, in a group that was played in two arms.

SKILLC (arXiv 2605.27899). **Neither its full text nor code of it could be read**: what follows is the form
that accounts by others allow, not the paper's own print.

    effect      Delta = mean reward of the group's skill arm - mean reward of its plain arm
    advantage   A_i = w * A_i^pooled + (1 - w) * A_i^arm + lambda * max(Delta, 0) * 1[won] * (1 - 2 z_i)

A^pooled compares a trajectory with its whole group, A^arm with its own arm alone; z_i is 1 in the skill arm.
As long as the skills make the difference, a success without them earns more and one with them less; where
they make none, nothing is left of the correction. w = 0.4 and lambda = 1 are told, but not which of the two
streams w multiplies: for the other reading use 1 - w.

Left out: the schedule of lambda and of the share of paired groups from smoothed validation effects, whose
form is not told (lambda is constant here, `paired_fraction` too; files are withdrawn by skill0.curriculum).
A pure function; tests/training/test_contrast.py has numbers worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def skill_contrast(
    pooled: Sequence[float],
    by_arm: Sequence[float],
    won: Sequence[bool],
    with_skills: Sequence[bool],
    effects: Sequence[float | None],
    *,
    weight: float = 1.0,
    pooled_share: float = 0.4,
) -> NDArray[np.float64]:
    """The advantage of every item, float64 (items,).

    Args:
        pooled, by_arm: A^pooled and A^arm, (items,), in one unit.
        won: whether the item's trajectory succeeded and counts (no infrastructure failure), (items,).
        with_skills: z, (items,).
        effects: Delta of the item's group, in the unit of the advantages; None where it has but one arm,
            whose items keep `by_arm`.
        weight: lambda.
        pooled_share: w.
    """
    paired = np.array([effect is not None for effect in effects], dtype=bool)  # (items,)
    help_of = np.array([max(effect or 0.0, 0.0) for effect in effects], dtype=np.float64)  # (items,)
    alone, together = np.asarray(by_arm, dtype=np.float64), np.asarray(pooled, dtype=np.float64)
    mixed = pooled_share * together + (1 - pooled_share) * alone  # (items,)
    sign = 1.0 - 2.0 * np.asarray(with_skills, dtype=np.float64)  # (items,)
    correction = weight * help_of * np.asarray(won, dtype=np.float64) * sign  # (items,)
    return np.where(paired, mixed + correction, alone)
