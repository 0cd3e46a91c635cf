"""Equation 5's group-normalised advantages, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.errors import ConfigError
from skill0.training.advantages import grpo


def test_one_win_in_four() -> None:
    # Rewards 10 0 0 0: mean 2.5; sample variance (7.5^2 + 3 * 2.5^2) / 3 = 25; std 5.
    result = grpo([10, 0, 0, 0], [0, 0, 0, 0], epsilon=0.0)
    assert result.values == pytest.approx([1.5, -0.5, -0.5, -0.5])
    assert result.flat_groups == 0.0


def test_epsilon_is_added_to_the_standard_deviation() -> None:
    assert grpo([10, 0, 0, 0], [0] * 4, epsilon=5.0).values == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_groups_do_not_mix_even_when_their_members_are_scattered() -> None:
    # Group a: 1 and 3 (mean 2, std sqrt 2); group b: 10 and 10 (no spread).
    result = grpo([1, 10, 3, 10], ["a", "b", "a", "b"], epsilon=0.0, scale="group")
    assert result.values[[0, 2]] == pytest.approx([-1 / math.sqrt(2), 1 / math.sqrt(2)])
    assert result.flat_groups == 0.5


def test_a_group_without_spread_has_advantage_zero_not_nan() -> None:
    result = grpo([10, 10, 10], [7, 7, 7])
    assert result.values.tolist() == [0.0, 0.0, 0.0]
    assert result.flat_groups == 1.0


def test_infrastructure_failures_are_left_out_of_the_statistics() -> None:
    # The third member broke: the rest is 10 and 0, mean 5, std sqrt(50).
    with_failure = grpo([10, 0, -99, math.nan], [0] * 4, counted=[True, True, False, False], epsilon=0.0)
    assert with_failure.values == pytest.approx([5 / math.sqrt(50), -5 / math.sqrt(50), 0, 0])
    assert with_failure.values[:2] == pytest.approx(grpo([10, 0], [0, 0], epsilon=0.0).values)


def test_a_group_that_failed_altogether_is_no_group() -> None:
    result = grpo([1, 2, 3, 4], [0, 0, 1, 1], counted=[True, True, False, False])
    assert result.values[2:].tolist() == [0.0, 0.0]
    assert result.flat_groups == 0.0  # of one group, not of two
    nothing = grpo([1, 2], [0, 0], counted=[False, False])
    assert nothing.values.tolist() == [0.0, 0.0]
    assert nothing.flat_groups == 0.0


def test_a_lone_survivor_has_no_group_to_compare_with() -> None:
    assert grpo([10, 0], [0, 0], counted=[True, False]).values.tolist() == [0.0, 0.0]


def test_scales() -> None:
    rewards, groups = [0, 2, 10, 14], [0, 0, 1, 1]
    assert grpo(rewards, groups, scale="none").values.tolist() == [-1, 1, -2, 2]
    # All four: mean 6.5, sum of squares 42.25 + 20.25 + 12.25 + 56.25 = 131; std sqrt(131 / 3).
    std = math.sqrt(131 / 3)
    batch = grpo(rewards, groups, scale="batch", epsilon=0.0).values
    assert batch == pytest.approx([-1 / std, 1 / std, -2 / std, 2 / std])


class TestLeaveOneOut:
    def test_each_is_compared_with_the_others(self) -> None:
        # Rewards 10 0 0 2: the others' means are 2/3, 4, 4 and 10/3.
        values = grpo([10, 0, 0, 2], [0] * 4, scale="none", baseline="leave_one_out").values
        assert values == pytest.approx([10 - 2 / 3, -4, -4, 2 - 10 / 3])
        # Which is n / (n - 1) times the distance from the mean (3).
        assert values == pytest.approx(grpo([10, 0, 0, 2], [0] * 4, scale="none").values * 4 / 3)

    def test_failures_are_not_among_the_others(self) -> None:
        values = grpo([10, 0, -99], [0] * 3, counted=[True, True, False], scale="none",
                      baseline="leave_one_out").values  # fmt: skip
        assert values.tolist() == [10, -10, 0]

    def test_rows_of_one_trajectory_are_left_out_together(self) -> None:
        # A win of 1 turn, a loss of 3: to the win the others' mean is 0, to the losing rows it is 10.
        # Without owners the rows of the loss are compared with each other, too: mean of 10, 0, 0.
        rewards, groups = [10, 0, 0, 0], [0] * 4
        leave = {"scale": "none", "baseline": "leave_one_out"}
        assert grpo(rewards, groups, owners=[0, 1, 1, 1], **leave).values.tolist() == [10, -10, -10, -10]
        assert grpo(rewards, groups, **leave).values == pytest.approx([10, -10 / 3, -10 / 3, -10 / 3])

    def test_a_trajectory_alone_has_nothing_to_be_compared_with(self) -> None:
        values = grpo([3, 5], [0, 0], owners=[7, 7], scale="none", baseline="leave_one_out").values
        assert values.tolist() == [0, 0]

    def test_it_is_divided_by_the_spread_if_asked(self) -> None:
        # 10 and 0: the std is sqrt 50.
        values = grpo([10, 0], [0, 0], baseline="leave_one_out", epsilon=0.0).values
        assert values == pytest.approx([10 / math.sqrt(50), -10 / math.sqrt(50)])

    def test_an_unknown_baseline_is_named(self) -> None:
        with pytest.raises(ConfigError, match="'critic'"):
            grpo([1.0], [0], baseline="critic")


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("by_row", [False, True])
def test_equals_a_naive_loop_to_the_last_digits(scale: str, baseline: str, by_row: bool) -> None:
    draw = np.random.default_rng(3)
    items = 120
    rewards, groups = draw.normal(size=items), draw.integers(0, 12, items)
    counted = draw.random(items) < 0.8
    owners = 10 * groups + draw.integers(0, 3, items) if by_row else np.arange(items)
    values = grpo(rewards, groups, counted=counted, scale=scale, baseline=baseline, owners=owners).values

    def std(peers: list[float]) -> float:
        mean = sum(peers) / len(peers)
        return math.sqrt(sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1))

    for item in range(items):
        peers = [k for k in range(items) if groups[k] == groups[item] and counted[k]]
        others = [rewards[k] for k in peers if baseline == "mean" or owners[k] != owners[item]]
        if not counted[item] or not others or len(peers) == 1:
            assert values[item] == 0.0
            continue
        spread = [rewards[k] for k in (peers if scale == "group" else range(items)) if counted[k]]
        divisor = 1.0 if scale == "none" else std(spread) + 1e-4
        expected = (rewards[item] - sum(others) / len(others)) / divisor
        assert values[item] == pytest.approx(expected, rel=1e-12)


def test_over_rows_a_long_trajectory_weighs_more() -> None:
    # One win of 1 turn, one loss of 3 turns. Over trajectories: mean 5. Over rows: mean 10 / 4 = 2.5.
    over_trajectories = grpo([10, 0], [0, 0], scale="none").values
    over_rows = grpo([10, 0, 0, 0], [0, 0, 0, 0], scale="none").values
    assert over_trajectories.tolist() == [5, -5]
    assert over_rows.tolist() == [7.5, -2.5, -2.5, -2.5]


def test_wrong_input_is_named() -> None:
    with pytest.raises(ConfigError, match="'median'"):
        grpo([1.0], [0], scale="median")
    with pytest.raises(ValueError, match="not of one length"):
        grpo([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="not finite"):
        grpo([math.inf, 1.0], [0, 0])


@given(
    st.lists(
        st.tuples(st.floats(-100, 100), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=24,
    )
)
def test_equals_a_naive_loop(items: list[tuple[float, int, bool]]) -> None:
    rewards, groups, counted = (list(column) for column in zip(*items, strict=True))
    result = grpo(rewards, groups, counted=counted).values
    for position, (reward, group, counts) in enumerate(items):
        peers = [r for r, g, c in items if g == group and c]
        if not counts or len(peers) < 2:
            assert result[position] == 0.0
            continue
        mean = sum(peers) / len(peers)
        std = math.sqrt(sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1))
        assert result[position] == pytest.approx((reward - mean) / (std + 1e-4), rel=1e-6, abs=1e-4)
    assert np.isfinite(result).all()
