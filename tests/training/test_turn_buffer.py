"""From trajectories to windows: credit by hand, and a cut that loses nothing and treats processes alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.agent import FAILURE, INFRASTRUCTURE, SUCCESS, Trajectory, Turn
from skill0.envs import EnvFailure, Task
from skill0.training.metrics import Summary, phase_seconds, rollout_metrics, summarise
from skill0.training.rewards import RewardSettings
from skill0.training.turn_buffer import (
    TrainingTurn,
    collate_training_turns,
    cut_windows,
    training_turns,
)

END, OTHER_END = 2, 3
REWARDS = RewardSettings(success_reward=10.0, compression_weight=0.0)


def turn(length: int = 1, *, valid: bool = True, mark: int = 5) -> Turn:
    completion = (mark,) * (length - 1) + (END,)
    return Turn(
        (1, mark), completion, (-0.5,) * length, None, (False,) * length, "", "", "", None, valid,
        0.0 if valid else -1.0, 2, 0,
    )  # fmt: skip


def episode(outcome: str, *turns: Turn, kind: str = "warm", arm: tuple[str, ...] = ()) -> Trajectory:
    failure = EnvFailure("died", "it died") if outcome == INFRASTRUCTURE else None
    return Trajectory(
        Task("t", "words", kind, "do it"), arm, 0, turns, outcome, 0.0, failure, {"environment": 2.0}
    )


def summaries(*episodes: tuple[int, Trajectory]) -> list[Summary]:
    return [
        summarise(trajectory, group, REWARDS, step=0, end_tokens=(END, OTHER_END))
        for group, trajectory in episodes
    ]


WIN, LOSS = episode(SUCCESS, turn(2)), episode(FAILURE, turn(2), turn(2), turn(2))
BROKEN = episode(INFRASTRUCTURE, turn(4))


def test_turns_of_failures_are_not_trained_on() -> None:
    turns = training_turns([WIN, BROKEN], [(5.0,), (0.0,)], [(0.5,), (0.0,)])
    assert [(item.turn, item.advantage, item.weight) for item in turns] == [(WIN.turns[0], 5.0, 0.5)]


def test_a_turn_may_weigh_something_else_in_the_entropy_bonus() -> None:
    own = training_turns([WIN], [(5.0,)], [(0.5,)], 0.125)[0]
    batch = collate_training_turns([own, TrainingTurn(turn(), 0.0, 0.0)], pad_token_id=0, image_token_id=99,
                                   device="cpu")  # fmt: skip
    assert batch["entropy_weights"].tolist() == [0.125, 0.0]
    same = training_turns([WIN], [(5.0,)], [(0.5,)])
    assert "entropy_weights" not in collate_training_turns(
        same, pad_token_id=0, image_token_id=99, device="cpu"
    )


def cut(
    count: int, *, longest: int, windows: int = 2, size: int = 3, seed: int = 0
) -> list[list[list[TrainingTurn]]]:
    turns = [TrainingTurn(turn(1 + number % 4, mark=10 + number), 1.0, 0.1) for number in range(count)]
    return cut_windows(
        turns, windows=windows, longest=longest, micro_batch_size=size, padding=turn(), seed=seed
    )  # fmt: skip


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4), st.integers(1, 7))
def test_processes_with_different_numbers_of_turns_get_equal_shapes(
    few: int, many: int, windows: int, size: int
) -> None:
    few, many = sorted((few, many))
    shapes = []
    for count in (few, many):
        found = cut(count, longest=many, windows=windows, size=size)
        shapes.append([[len(batch) for batch in window] for window in found])
        real = [item for window in found for batch in window for item in batch if not item.is_padding]
        assert sorted(item.turn.completion_ids for item in real) == sorted(
            turn(1 + number % 4, mark=10 + number).completion_ids for number in range(count)
        )
    assert shapes[0] == shapes[1]
    assert all(batch for window in shapes[0] for batch in window)


def test_padding_is_spread_over_the_windows() -> None:
    found = cut(5, longest=9, windows=2, size=100)
    assert [len(window[0]) for window in found] == [5, 5]
    assert [sum(item.is_padding for item in window[0]) for window in found] in ([2, 3], [3, 2])


def test_the_cut_follows_from_the_seed() -> None:
    def order(seed: int) -> list[tuple[int, ...]]:
        return [
            i.turn.prompt_ids for window in cut(9, longest=9, seed=seed) for batch in window for i in batch
        ]

    assert order(3) == order(3) != order(4)


def test_collating_keeps_shares_and_masks_padding_turns() -> None:
    real, padding = TrainingTurn(turn(3), 2.0, 0.25), TrainingTurn(turn(), 0.0, 0.0)
    batch = collate_training_turns([real, padding], pad_token_id=0, image_token_id=99, device="cpu")
    assert batch["loss_mask"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert batch["completion_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["advantages"].tolist() == [2.0, 0.0]
    assert batch["weights"].tolist() == [0.25, 0.0]
    assert "old_logprobs" not in batch


def test_turns_of_the_internalization_loss_are_masked_out_of_the_policy_loss() -> None:
    policy = TrainingTurn(turn(2), 2.0, 0.25)
    plain = TrainingTurn(turn(3), 0.0, 0.0, imitation=0.5, imitated=(False, True, False))
    assert not plain.is_padding
    batch = collate_training_turns([policy, plain], pad_token_id=0, image_token_id=99, device="cpu")
    assert batch["loss_mask"].tolist() == [[1, 1, 0], [0, 0, 0]]
    assert batch["imitation"].tolist() == [0.0, 0.5]
    assert batch["imitated"].tolist() == [[False] * 3, [False, True, False]]
    alone = collate_training_turns([policy], pad_token_id=0, image_token_id=99, device="cpu")
    assert "imitation" not in alone


class TestMetrics:
    def test_success_is_told_by_arm(self) -> None:
        skilled = replace(WIN, arm=("warm",))
        found = rollout_metrics(summaries((0, skilled), (0, WIN), (0, LOSS)))
        assert (found["success/with_skills"], found["success/without_skills"]) == (1.0, 0.5)

    def test_by_hand(self) -> None:
        clumsy = episode(FAILURE, turn(2), turn(4, valid=False), kind="cold")
        cut_off = replace(WIN, turns=(replace(turn(6), completion_ids=(5,) * 6, logprobs=(-2.0,) * 6),))
        other_end = replace(WIN.turns[0], completion_ids=(5, OTHER_END))
        win = replace(WIN, turns=(other_end,))
        found = rollout_metrics(summaries((0, win), (0, clumsy), (0, cut_off), (1, BROKEN)))
        assert found["success"] == pytest.approx(2 / 3)
        assert found["success/warm"] == 1.0
        assert found["success/cold"] == 0.0
        assert found["reward"] == pytest.approx((10 - 1 + 10) / 3)
        assert found["rollout/trajectories"] == 3
        assert found["rollout/turns"] == 4
        assert found["invalid_share"] == 1 / 4
        assert found["completions/mean_length"] == (2 + 2 + 4 + 6) / 4
        assert found["completions/max_length"] == 6
        assert found["completions/clipped_ratio"] == 1 / 4
        assert found["context/text_tokens"] == 2
        assert found["infrastructure/count"] == found["infrastructure/died"] == 1
        # 8 tokens at 0.5 nats and 6 at 2.
        assert found["rollout/surprise"] == pytest.approx((8 * 0.5 + 6 * 2.0) / 14)

    def test_when_everything_failed_only_that_is_told(self) -> None:
        assert rollout_metrics(summaries((0, BROKEN))) == {
            "infrastructure/count": 1.0, "infrastructure/died": 1.0, "rollout/trajectories": 0.0,
        }  # fmt: skip

    def test_seconds_of_processes_that_work_side_by_side_are_averaged(self) -> None:
        assert phase_seconds(summaries((0, WIN), (0, LOSS)), processes=2) == {"time/environment": 2.0}
