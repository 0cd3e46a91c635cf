"""Equation 4, worked out by hand: r~ = r + lambda ln(c), the second term in successful episodes only."""

from __future__ import annotations

import math

import pytest

from skill0.agent.trajectory import FAILURE, INFRASTRUCTURE, SUCCESS, Trajectory, Turn
from skill0.envs.base import Task
from skill0.errors import ConfigError
from skill0.training.rewards import RewardSettings, compression_is_paid, trajectory_reward, turn_rewards

EVERY_STEP = RewardSettings(success_reward=10.0, compression_weight=0.01, compression_interval=1)


def turn(*, penalty: float = 0.0, compression: float | None = None) -> Turn:
    return Turn((1,), (2,), (0.0,), None, (True,), "", "", "look", compression, penalty == 0, -penalty, 1, 0)


def episode(outcome: str, *turns: Turn) -> Trajectory:
    return Trajectory(Task("t", "words", "a", "do it"), (), 0, turns, outcome)


def test_a_success_earns_the_success_reward_less_its_penalties() -> None:
    assert trajectory_reward(episode(SUCCESS, turn(), turn()), EVERY_STEP, step=0) == 10.0
    # Two invalid replies at 0.1 each: 10 - 0.2.
    won = episode(SUCCESS, turn(penalty=0.1), turn(penalty=0.1), turn())
    assert trajectory_reward(won, EVERY_STEP, step=0) == pytest.approx(9.8)
    assert trajectory_reward(
        episode(FAILURE, turn(penalty=0.1), turn()), EVERY_STEP, step=0
    ) == pytest.approx(-0.1)


def test_compression_pays_the_mean_of_ln_c_in_successful_episodes_only() -> None:
    turns = (turn(compression=math.e), turn(compression=math.e**3), turn(compression=None))
    # ln c = 1, 3 and (no factor named) 0; their mean is 4/3; lambda 0.01.
    assert trajectory_reward(episode(SUCCESS, *turns), EVERY_STEP, step=0) == pytest.approx(10 + 0.01 * 4 / 3)
    assert trajectory_reward(episode(FAILURE, *turns), EVERY_STEP, step=0) == 0.0


def test_a_longer_success_is_not_worth_more() -> None:
    short = episode(SUCCESS, *[turn(compression=2.0)] * 2)
    long = episode(SUCCESS, *[turn(compression=2.0)] * 20)
    assert trajectory_reward(short, EVERY_STEP, step=0) == pytest.approx(
        trajectory_reward(long, EVERY_STEP, step=0)
    )


def test_row_rewards_keep_each_turn_apart() -> None:
    won = episode(SUCCESS, turn(penalty=0.1), turn(compression=math.e))
    # Row 1: 10 - 0.1. Row 2: 10 + 0.01 * ln e.
    assert turn_rewards(won, EVERY_STEP, step=0) == pytest.approx((9.9, 10.01))
    assert turn_rewards(episode(FAILURE), EVERY_STEP, step=0) == ()


def test_the_term_is_paid_every_eighth_step_by_default() -> None:
    paid = [step + 1 for step in range(24) if compression_is_paid(step, RewardSettings())]
    assert paid == [8, 16, 24]
    won = episode(SUCCESS, turn(compression=math.e))
    assert trajectory_reward(won, RewardSettings(), step=6) == 10.0
    assert trajectory_reward(won, RewardSettings(), step=7) == pytest.approx(10.01)


def test_an_infrastructure_failure_is_worth_nothing_but_its_turns() -> None:
    broken = episode(INFRASTRUCTURE, turn(compression=5.0))
    assert trajectory_reward(broken, EVERY_STEP, step=0) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"success_reward": 0.0}, "success_reward=0.0"),
        ({"success_reward": math.nan}, "success_reward=nan"),
        ({"compression_weight": -0.1}, "compression_weight=-0.1"),
        ({"compression_interval": 0}, "compression_interval=0"),
    ],
)
def test_figures_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RewardSettings(**settings)
