"""Equation 6 and the conclusion of equations 7-14, against numbers worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import budget, linear_budgets, sufficient_stages
from skill0.curriculum.budget import context_shift, first_step, stage_of
from skill0.errors import ConfigError


@pytest.mark.parametrize(
    ("num_stages", "num_files", "expected"),
    [
        (3, 6, (6, 3, 0)),  # the paper's ALFWorld: 6*2/2, 6*1/2, 0
        (3, 5, (5, 3, 0)),  # the paper's search: 5, ceil(2.5) = 3, 0
        (5, 6, (6, 5, 3, 2, 0)),  # 6*4/4, ceil(4.5), 3, ceil(1.5), 0
        (2, 7, (7, 0)),
        (4, 1, (1, 1, 1, 0)),  # ceil(2/3) = ceil(1/3) = 1
    ],
)
def test_equation_6_by_hand(num_stages: int, num_files: int, expected: tuple[int, ...]) -> None:
    assert linear_budgets(num_stages, num_files) == expected


@given(num_stages=st.integers(2, 50), num_files=st.integers(1, 10**9))
def test_equation_6_against_exact_fractions(num_stages: int, num_files: int) -> None:
    budgets = linear_budgets(num_stages, num_files)
    for stage, allowed in enumerate(budgets, start=1):
        assert allowed == math.ceil(Fraction(num_files * (num_stages - stage), num_stages - 1))
    assert budgets[0] == num_files
    assert budgets[-1] == 0
    assert list(budgets) == sorted(budgets, reverse=True)


@pytest.mark.parametrize(
    ("stage", "num_stages", "num_files", "message"),
    [
        (1, 1, 6, "at least 2 stages"),
        (0, 3, 6, "from 1 to"),
        (4, 3, 6, "from 1 to"),
        (1, 3, 0, "at least one"),
    ],
)
def test_equation_6_refuses_what_it_does_not_define(
    stage: int, num_stages: int, num_files: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        budget(stage, num_stages, num_files)


def test_stages_of_the_papers_run() -> None:
    # 180 steps in 3 stages: 0-59, 60-119, 120-179.
    boundaries = [stage_of(step, 180, 3) for step in (0, 59, 60, 119, 120, 179, 500)]
    assert boundaries == [1, 1, 2, 2, 3, 3, 3]


@given(total_steps=st.integers(1, 500), num_stages=st.integers(1, 12))
def test_stages_are_as_equal_as_whole_steps_allow(total_steps: int, num_stages: int) -> None:
    num_stages = min(num_stages, total_steps)
    stages = [stage_of(step, total_steps, num_stages) for step in range(total_steps)]
    lengths = [stages.count(stage) for stage in range(1, num_stages + 1)]
    assert stages == sorted(stages)
    assert max(lengths) - min(lengths) <= 1
    assert [stages.index(stage) for stage in range(1, num_stages + 1)] == [
        first_step(stage, total_steps, num_stages) for stage in range(1, num_stages + 1)
    ]


def test_sufficient_stages_by_hand() -> None:
    # 1 + 6 * 0.25 / (0.25 * 0.5) = 13, exact in binary, and N_S must be strictly greater: 14.
    assert sufficient_stages(6, file_shift=0.25, clip_epsilon=0.25, reward_std=0.5) == 14
    # 1 + 6 * 0.06 / (0.2 * 0.5) = 4.6, so 5.
    assert sufficient_stages(6, file_shift=0.06, clip_epsilon=0.2, reward_std=0.5) == 5
    assert sufficient_stages(6, file_shift=0.0, clip_epsilon=0.2, reward_std=0.5) == 2


@given(
    num_files=st.integers(1, 30),
    file_shift=st.floats(0, 1),
    clip_epsilon=st.floats(0.01, 0.5),
    reward_std=st.floats(0.05, 5),
)
def test_sufficient_stages_keep_the_shift_within_the_clipping_range(
    num_files: int, file_shift: float, clip_epsilon: float, reward_std: float
) -> None:
    """What the bound is for: the shift between stages times delta_r / sigma_G stays below eps_clip."""
    stages = sufficient_stages(num_files, file_shift, clip_epsilon, reward_std)
    reach = context_shift(stages, num_files) * file_shift / reward_std
    assert reach < clip_epsilon * (1 + 1e-9)
    if stages > 2:
        fewer = context_shift(stages - 1, num_files) * file_shift / reward_std
        assert fewer >= clip_epsilon * (1 - 1e-9)


@pytest.mark.parametrize("bad", [{"clip_epsilon": 0.0}, {"reward_std": -1.0}, {"file_shift": -0.1}])
def test_sufficient_stages_refuses_meaningless_numbers(bad: dict[str, float]) -> None:
    settings = {"file_shift": 0.1, "clip_epsilon": 0.2, "reward_std": 0.5, **bad}
    with pytest.raises(ConfigError):
        sufficient_stages(6, **settings)
    with pytest.raises(ConfigError):
        context_shift(1, 6)
