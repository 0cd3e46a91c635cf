"""Episodes written down by hand, and their summaries, for tests of credit and of what is done with groups."""

from __future__ import annotations

from skill0.agent import FAILURE, INFRASTRUCTURE, SUCCESS, Trajectory, Turn
from skill0.envs import EnvFailure, Task
from skill0.training.gigpo import anchor_text
from skill0.training.metrics import Summary, summarise
from skill0.training.rewards import RewardSettings

END = 2
REWARDS = RewardSettings(success_reward=10.0, compression_weight=0.0)


def turn(length: int = 1, *, valid: bool = True, seen: str = "") -> Turn:
    return Turn(
        (1, 5), (5,) * (length - 1) + (END,), (-0.5,) * length, None, (False,) * length, seen, "", "", None,
        valid, 0.0 if valid else -1.0, 2, 0,
    )  # fmt: skip


def episode(outcome: str, *turns: Turn, arm: tuple[str, ...] = ()) -> Trajectory:
    failure = EnvFailure("died", "it died") if outcome == INFRASTRUCTURE else None
    return Trajectory(Task("t", "words", "warm", "do it"), arm, 0, turns, outcome, 0.0, failure)


def summaries(*episodes: tuple[int, Trajectory]) -> list[Summary]:
    return [
        summarise(
            trajectory, group, REWARDS, step=0, end_tokens=(END,),
            anchor=lambda item: anchor_text(item, "observation", digest=True),
        )
        for group, trajectory in episodes
    ]  # fmt: skip


WIN, LOSS = episode(SUCCESS, turn(2)), episode(FAILURE, turn(2), turn(2), turn(2))
BROKEN = episode(INFRASTRUCTURE, turn(4))
