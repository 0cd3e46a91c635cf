"""SKILLC's contrast of two arms, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from skill0.training.contrast import skill_contrast


def test_a_plain_success_gains_and_a_skilled_one_loses() -> None:
    # Skill arm 1 and 1, plain arm 1 and 0: Delta = 1 - 1/2. Pooled mean 3/4; arm means 1 and 1/2.
    # 0.4 * (1/4) + 0.6 * 0 = 0.1 in the skill arm; plain: 0.1 + 0.3 = 0.4 and 0.4 * (-3/4) - 0.3 = -0.6.
    # The correction is 1/2: off the skilled successes, on the plain one, and nothing for the failure.
    found = skill_contrast(
        [0.25, 0.25, 0.25, -0.75], [0.0, 0.0, 0.5, -0.5], [True, True, True, False],
        [True, True, False, False], [0.5] * 4,
    )  # fmt: skip
    assert found == pytest.approx([-0.4, -0.4, 0.9, -0.6])


def test_nothing_is_corrected_where_skills_do_not_help() -> None:
    for effect in (0.0, -0.5):
        found = skill_contrast([1.0], [3.0], [True], [False], [effect], weight=5.0, pooled_share=0.25)
        assert found.tolist() == [2.5]


def test_a_group_of_one_arm_keeps_its_own_statistics() -> None:
    assert skill_contrast([1.0], [3.0], [True], [True], [None]).tolist() == [3.0]


def test_the_other_reading_of_w_is_within_reach() -> None:
    # w on the arm's own stream is 1 - w on the pooled one.
    pooled, by_arm = [1.0, -1.0], [0.5, -0.5]
    other = skill_contrast(
        pooled, by_arm, [False] * 2, [True, False], [1.0] * 2, weight=0.0, pooled_share=0.6
    )
    assert other == pytest.approx([0.4 * 0.5 + 0.6 * 1.0, -(0.4 * 0.5 + 0.6 * 1.0)])


def test_equals_a_naive_loop() -> None:
    draw = np.random.default_rng(0)
    items = 100
    pooled, by_arm = draw.normal(size=items).tolist(), draw.normal(size=items).tolist()
    won, skilled = draw.random(items) < 0.5, draw.random(items) < 0.5
    effects = [None if draw.random() < 0.2 else draw.uniform(-1, 1) for _ in range(items)]
    found = skill_contrast(
        pooled, by_arm, won.tolist(), skilled.tolist(), effects, weight=0.7, pooled_share=0.3
    )
    for item in range(items):
        expected, effect = by_arm[item], effects[item]
        if effect is not None:
            expected = 0.3 * pooled[item] + 0.7 * by_arm[item]
            if won[item] and effect > 0:
                expected += -0.7 * effect if skilled[item] else 0.7 * effect
        assert found[item] == pytest.approx(expected, rel=1e-12)
