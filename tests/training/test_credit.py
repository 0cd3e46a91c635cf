"""Credit of a round's turns: by hand, arm by arm, with failures, and by every estimator."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from episodes_by_hand import BROKEN, LOSS, WIN, episode, summaries, turn

from skill0.agent import FAILURE, INFRASTRUCTURE, SUCCESS
from skill0.errors import ConfigError
from skill0.training.credit import EstimatorSettings, assign_credit, groups_with_signal, signal_share
from skill0.training.metrics import Summary
from skill0.training.rewards import RewardSettings, step_rewards, trajectory_reward


def credit_of(played: list[Summary], **settings: Any) -> Any:
    return assign_credit(played, EstimatorSettings(**settings))


class TestCredit:
    def test_over_trajectories_all_turns_share_one_advantage(self) -> None:
        credit = credit_of(summaries((0, WIN), (0, LOSS)), scale="none")
        # Rewards 10 and 0, mean 5. Weights: 1 group, 2 trajectories, 2 and 6 tokens: 1/4 and 1/12.
        assert credit.advantages == [(5.0,), (-5.0, -5.0, -5.0)]
        assert credit.weights == [(1 / 4,), (1 / 12,) * 3]

    def test_over_rows_every_turn_counts_and_keeps_its_own_penalty(self) -> None:
        clumsy = episode(FAILURE, turn(2), turn(2, valid=False), turn(2))
        credit = credit_of(summaries((0, WIN), (0, clumsy)), statistics="row", scale="none", mean="token")
        # Rows 10, 0, -1, 0: mean 2.25. 8 tokens.
        assert credit.advantages == [(7.75,), (-2.25, -3.25, -2.25)]
        assert credit.weights == [(1 / 8,), (1 / 8,) * 3]

    @pytest.mark.parametrize("statistics", ["trajectory", "row"])
    @pytest.mark.parametrize("mean", ["trajectory", "token", "row", "row_sum", "constant"])
    @pytest.mark.parametrize("estimator", ["grpo", "gigpo"])
    @pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
    def test_a_failure_changes_nothing_for_the_others(
        self, statistics: str, mean: str, estimator: str, baseline: str
    ) -> None:
        how = {"statistics": statistics, "mean": mean, "estimator": estimator, "baseline": baseline}
        alone = credit_of(summaries((0, WIN), (0, LOSS)), **how)
        among = credit_of(summaries((0, WIN), (0, BROKEN), (0, LOSS), (1, BROKEN)), **how)
        assert among.advantages == [alone.advantages[0], (0.0,), alone.advantages[1], (0.0,)]
        assert among.weights == [alone.weights[0], (0.0,), alone.weights[1], (0.0,)]
        assert among.flat_groups == alone.flat_groups

    def test_a_paired_group_is_judged_arm_by_arm(self) -> None:
        # With skills 10 and 10, without 10 and 0. Each arm by itself: 0 and 0, 5 and -5; the plain success
        # is worth something. Pooled, mean 7.5: it is worth no more than the skilled ones.
        skilled = replace(WIN, arm=("warm",))
        played = summaries((0, skilled), (0, skilled), (0, WIN), (0, episode(FAILURE, turn(2))))
        how = {"statistics": "trajectory", "scale": "none", "mean": "trajectory"}
        by_arm = credit_of(played, **how, arms="arm")
        assert by_arm.advantages == [(0.0,), (0.0,), (5.0,), (-5.0,)]
        assert by_arm.flat_groups == 0.5  # of the two arms
        pooled = credit_of(played, **how, arms="group")
        assert pooled.advantages == [(2.5,), (2.5,), (2.5,), (-7.5,)]
        assert pooled.flat_groups == 0.0
        # The group's weight is shared by its four trajectories, two tokens each, in any case.
        assert by_arm.weights == pooled.weights == [(1 / 8,)] * 4
        by_row = credit_of(played, **{**how, "statistics": "row"}, arms="arm")
        assert by_row.advantages == by_arm.advantages

    def test_signal_is_spread_in_some_arm(self) -> None:
        skilled = replace(WIN, arm=("warm",))
        played = summaries((0, skilled), (0, LOSS), (0, LOSS), (1, WIN), (1, LOSS), (2, BROKEN))
        credit = credit_of(played, statistics="trajectory", scale="none", mean="trajectory")
        # Group 0 differs between its arms alone; group 1 has spread; group 2 does not count.
        assert signal_share(played, credit) == 1 / 2

    def test_over_rows_leave_one_out_leaves_out_a_trajectory(self) -> None:
        # A win of one turn, a loss of three: each is compared with the other alone.
        credit = credit_of(
            summaries((0, WIN), (0, LOSS)), statistics="row", baseline="leave_one_out", scale="none"
        )
        assert credit.advantages == [(10.0,), (-10.0,) * 3]

    def test_a_figure_out_of_range_is_named(self) -> None:
        for name, value, option in (
            ("step_weight", -1.0, "gigpo_step_weight"), ("discount", 1.5, "gigpo_discount"),
            ("similarity", 0.0, "gigpo_similarity"), ("contrast_weight", float("nan"), "contrast_weight"),
            ("pooled_share", 2.0, "contrast_pooled_share"),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match=f"{option}={value}"):
                EstimatorSettings(**{name: value})  # type: ignore[arg-type]


class TestStepRewards:
    def test_they_sum_to_the_reward_of_the_episode(self) -> None:
        settings = RewardSettings(success_reward=10.0, compression_weight=0.5, compression_interval=1)
        turns = [replace(turn(valid=valid), compression=factor) for valid, factor in
                 ((True, 2.0), (False, None), (True, 4.0))]  # fmt: skip
        won = episode(SUCCESS, *turns)
        found = step_rewards(won, settings, step=0)
        assert sum(found) == pytest.approx(trajectory_reward(won, settings, step=0))
        assert found[1] == -1.0
        assert found[2] > 10.0
        assert step_rewards(episode(FAILURE, *turns), settings, step=0) == (0.0, -1.0, 0.0)
        assert step_rewards(episode(INFRASTRUCTURE), settings, step=0) == ()


class TestGigpo:
    """Both trajectories begin in the hall; one goes to the kitchen and wins, the other comes back to the hall
    and loses."""

    WON = episode(SUCCESS, turn(seen="hall"), turn(seen="kitchen"))
    LOST = episode(FAILURE, turn(seen="hall"), turn(seen="attic", valid=False), turn(seen="hall"))

    def test_by_hand(self) -> None:
        credit = credit_of(
            summaries((0, self.WON), (0, self.LOST)), estimator="gigpo", scale="none", discount=0.5,
            step_weight=2.0,
        )  # fmt: skip
        # Episodes: 10 and -1, mean 4.5: 5.5 and -5.5. Returns: 5, 10 and -0.5, -1, 0 (gamma 1/2).
        # Hall: 5, -0.5 and 0, mean 1.5: 3.5, -2 and -1.5. Kitchen and attic were seen once: 0.
        assert credit.advantages == [(5.5 + 7.0, 5.5), (-5.5 - 4.0, -5.5, -5.5 - 3.0)]
        assert credit.figures == {
            "gigpo/turns_alone": 2 / 5, "gigpo/anchor_group_size": 5 / 3, "gigpo/step_advantage": 7.0 / 5
        }  # fmt: skip

    def test_without_weight_it_is_grpo(self) -> None:
        played = summaries((0, self.WON), (0, self.LOST))
        for settings in ({}, {"statistics": "row"}, {"baseline": "leave_one_out", "scale": "none"}):
            assert (
                credit_of(played, estimator="gigpo", step_weight=0.0, **settings).advantages
                == credit_of(played, **settings).advantages
            )

    def test_two_wins_of_different_length_differ_by_their_returns(self) -> None:
        slow = episode(SUCCESS, turn(seen="hall"), turn(seen="attic"), turn(seen="kitchen"))
        played = summaries((0, self.WON), (0, slow))
        settings = {"estimator": "gigpo", "scale": "none", "discount": 0.5}
        # All won: no episode advantage. Returns in the hall 5 and 2.5; in the kitchen 10 and 10.
        assert credit_of(played, **settings).advantages == [(1.25, 0.0), (-1.25, 0.0, 0.0)]
        assert groups_with_signal(played, credit_of(played, **settings)) == {0}
        assert groups_with_signal(played, credit_of(played)) == set()

    def test_anchors_are_shared_within_an_arm_by_default(self) -> None:
        skilled = replace(self.WON, arm=("warm",))
        played = summaries((0, skilled), (0, self.LOST))
        settings = {"estimator": "gigpo", "scale": "none", "discount": 0.5}
        # Each arm is one trajectory. The plain one came by the hall twice: -0.5 and 0, mean -0.25.
        assert credit_of(played, **settings).advantages == [(0.0, 0.0), (-0.25, 0.0, 0.25)]
        # Pooled, the anchor of a prompt with skills is that of a prompt without.
        pooled = credit_of(played, **settings, arms="group").advantages
        assert pooled == [(5.5 + 3.5, 5.5), (-5.5 - 2.0, -5.5, -5.5 - 1.5)]

    def test_groups_share_no_anchors(self) -> None:
        played = summaries((0, self.WON), (1, self.LOST))
        found = credit_of(played, estimator="gigpo", scale="none", discount=0.5)
        assert found.advantages == [(0.0, 0.0), (-0.25, 0.0, 0.25)]

    def test_the_steps_of_failures_are_in_no_anchor_group(self) -> None:
        broken = episode(INFRASTRUCTURE, turn(seen="hall"))
        settings = {"estimator": "gigpo", "scale": "none", "discount": 0.5}
        alone = credit_of(summaries((0, self.WON), (0, self.LOST)), **settings)
        among = credit_of(summaries((0, self.WON), (0, broken), (0, self.LOST)), **settings)
        assert among.advantages == [alone.advantages[0], (0.0,), alone.advantages[1]]
        assert among.figures == alone.figures

    def test_nothing_counts(self) -> None:
        found = credit_of(summaries((0, BROKEN), (0, episode(INFRASTRUCTURE))), estimator="gigpo")
        assert found.advantages == [(0.0,), ()]


class TestContrast:
    def played(self) -> list[Summary]:
        skilled = replace(WIN, arm=("warm",))
        return summaries((0, skilled), (0, skilled), (0, WIN), (0, LOSS))

    def test_by_hand(self) -> None:
        # Rewards 10 10 | 10 0. Pooled mean 7.5: 2.5 2.5 2.5 -7.5. By arm: 0 0 5 -5. Delta 10 - 5 = 5.
        # 0.4 * pooled + 0.6 * arm: 1 1 4 -6; the correction, in rewards: -5 -5 +5 0.
        credit = credit_of(self.played(), arms="contrast", scale="none")
        assert [values[0] for values in credit.advantages] == pytest.approx([-4.0, -4.0, 9.0, -6.0])
        assert credit.advantages[3] == (credit.advantages[3][0],) * 3
        assert credit.flat_groups == 0.5  # of the two arms

    def test_scaled_advantages_are_corrected_in_successes(self) -> None:
        # The standard deviation takes the reward's unit away, so Delta is 0.5 successes.
        plain, found = (
            credit_of(self.played(), arms="contrast", contrast_weight=weight, success_reward=10.0)
            for weight in (0.0, 1.0)
        )
        moved = [ours[0] - theirs[0] for ours, theirs in zip(found.advantages, plain.advantages, strict=True)]
        assert moved == pytest.approx([-0.5, -0.5, 0.5, 0.0])

    def test_without_a_share_and_a_weight_it_is_the_arms_own(self) -> None:
        found = credit_of(self.played(), arms="contrast", pooled_share=0.0, contrast_weight=0.0)
        assert found.advantages == credit_of(self.played()).advantages

    def test_a_group_of_one_arm_and_a_broken_one_are_left_alone(self) -> None:
        others = summaries((1, WIN), (1, LOSS), (2, replace(BROKEN, arm=("warm",))), (2, WIN), (2, LOSS))
        found = credit_of([*self.played(), *others], arms="contrast", scale="none").advantages
        assert found[4:] == credit_of(others, scale="none").advantages
        assert found[6] == (0.0,)

    def test_it_goes_with_gigpo(self) -> None:
        skilled = replace(TestGigpo.WON, arm=("warm",))
        played = summaries((0, skilled), (0, TestGigpo.LOST))
        settings = {"estimator": "gigpo", "scale": "none", "discount": 0.5}
        pooled = credit_of(played, **settings, arms="group").advantages
        by_arm = credit_of(played, **settings, arms="arm").advantages
        found = credit_of(played, **settings, arms="contrast").advantages
        # Delta is 10 + 1; the win had skills, so its two turns lose it.
        for item, correction in ((0, -11.0), (1, 0.0)):
            expected = [
                0.4 * together + 0.6 * alone + correction
                for together, alone in zip(pooled[item], by_arm[item], strict=True)
            ]
            assert found[item] == pytest.approx(expected)


@pytest.mark.parametrize("arms", ["arm", "group"])
@pytest.mark.parametrize("statistics", ["trajectory", "row"])
@pytest.mark.parametrize("scale", ["group", "none"])
def test_gigpo_equals_a_naive_loop(arms: str, statistics: str, scale: str) -> None:
    """Random episodes in a world of three rooms: in groups, arms, some broken, some replies invalid."""
    draw = random.Random(7)
    outcomes = (SUCCESS, SUCCESS, FAILURE, FAILURE, INFRASTRUCTURE)
    episodes = []
    for number in range(36):
        turns = [turn(seen=draw.choice("abc"), valid=draw.random() < 0.7) for _ in range(draw.randint(1, 5))]
        episodes.append((number // 6, episode(draw.choice(outcomes), *turns, arm=("warm",) * (number % 2))))
    played = summaries(*episodes)
    found = credit_of(
        played,
        estimator="gigpo",
        arms=arms,
        statistics=statistics,
        scale=scale,
        discount=0.9,
        step_weight=0.7,
    ).advantages

    def relative(value: float, peers: list[float]) -> float:
        mean = sum(peers) / len(peers)
        if max(peers) - min(peers) < 1e-9:
            return 0.0
        std = (sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1)) ** 0.5
        return (value - mean) / (std + 1e-4 if scale == "group" else 1.0)

    def alike(one: Summary, other: Summary) -> bool:
        arm = arms == "group" or one.with_skills == other.with_skills
        return one.group == other.group and arm and other.counted

    def future(summary: Summary, place: int) -> float:
        return sum(0.9**ahead * reward for ahead, reward in enumerate(summary.step_rewards[place:]))

    for number, summary in enumerate(played):
        peers = [other for other in played if alike(summary, other)]
        for place, anchor in enumerate(summary.anchors):
            if not summary.counted:
                assert found[number][place] == 0.0
                continue
            if statistics == "trajectory":
                whole = relative(summary.reward, [other.reward for other in peers])
            else:
                rows = [reward for other in peers for reward in other.turn_rewards]
                whole = relative(summary.turn_rewards[place], rows)
            here = [
                future(other, there)
                for other in peers
                for there, seen in enumerate(other.anchors)
                if seen == anchor
            ]
            expected = whole + 0.7 * relative(future(summary, place), here)
            assert found[number][place] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_entropy_bonus_is_a_mean_over_tokens_where_the_loss_is_not() -> None:
    played = summaries((0, WIN), (0, BROKEN), (0, LOSS))  # 2 and 6 tokens count
    assert credit_of(played, mean="trajectory").entropy_weight is None
    for mean in ("row", "row_sum", "constant"):
        assert credit_of(played, mean=mean, longest_reply=4).entropy_weight == 1 / 8
