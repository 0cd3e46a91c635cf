"""Dynamic sampling: groups that teach nothing give way to others, within bounds, and nothing is uncounted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import history, make_trainer, parameters
from colours_reader import use_reader
from colours_world import Colours, make_tasks
from episodes_by_hand import BROKEN, LOSS, WIN, summaries

from skill0.agent import AgentLoop, Sampling
from skill0.envs import EnvPool
from skill0.errors import ConfigError
from skill0.training import rounds
from skill0.training.credit import EstimatorSettings
from skill0.training.episodes import flat_groups, play_round, tasks_to_draw
from skill0.training.internalization import InternalizationSettings

OFF = InternalizationSettings()
SKILLED = replace(WIN, arm=("warm",))


class TestFlatGroups:
    def test_no_advantage_no_signal(self) -> None:
        # All won, all lost, one of each, and one that broke altogether.
        played = summaries(
            (4, WIN), (4, WIN), (5, LOSS), (5, LOSS), (6, WIN), (6, LOSS), (7, BROKEN), (7, BROKEN)
        )
        assert flat_groups(played, EstimatorSettings(), OFF) == [4, 5, 7]

    def test_spread_in_one_arm_is_signal(self) -> None:
        played = summaries((0, SKILLED), (0, SKILLED), (0, WIN), (0, LOSS))
        assert flat_groups(played, EstimatorSettings(), OFF) == []

    def test_arms_that_differ_from_each_other_alone(self) -> None:
        # By arm nothing is learnt; pooled it has spread; and what won with skills alone can be imitated.
        played = summaries((0, SKILLED), (0, SKILLED), (0, LOSS), (0, LOSS))
        settings = EstimatorSettings(success_reward=10.0)
        assert flat_groups(played, settings, OFF) == [0]
        assert flat_groups(played, replace(settings, arms="group"), OFF) == []
        imitates = InternalizationSettings(weight=1.0, weighting="effect")
        assert flat_groups(played, settings, imitates) == []
        # Not by its advantages, which are 0; nor where skills made no difference.
        assert flat_groups(played, settings, replace(imitates, weighting="advantage")) == [0]
        alike = summaries((0, SKILLED), (0, SKILLED), (0, WIN), (0, WIN))
        assert flat_groups(alike, settings, imitates) == [0]


class TestTasksToDraw:
    def test_they_are_new_distinct_and_follow_from_the_seed(self) -> None:
        drawn = tasks_to_draw([1, 3], 10, {0, 1, 2, 3}, seed=5)
        assert list(drawn) == [1, 3]
        assert set(drawn.values()) <= set(range(4, 10))
        assert len(set(drawn.values())) == 2
        assert drawn == tasks_to_draw([1, 3], 10, {3, 2, 1, 0}, seed=5)
        assert len({tuple(tasks_to_draw([1, 3], 10, {0}, seed).values()) for seed in range(9)}) > 1

    def test_where_few_are_left_the_last_places_get_none(self) -> None:
        assert tasks_to_draw([0, 2], 3, {0, 1}, seed=0) == {0: 2}
        assert tasks_to_draw([0, 2], 2, {0, 1}, seed=0) == {}


def tasks_of(words: str) -> list[Any]:
    """One task a letter: warm tasks (w) are always won here, cold ones (c) never."""
    pool = make_tasks(2 * len(words))
    return [pool[2 * place + "wc".index(letter)] for place, letter in enumerate(words)]


def play(trainer: Any, number: int = 0) -> Any:
    """A round of the first 4 tasks, with 4 members each."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return play_round(trainer, [{"task": place // 4} for place in range(16)], number)


SETTINGS: dict[str, Any] = {"env": Colours, "skills": None}


def test_anchors_hold_what_the_world_said_and_nothing_of_the_skills(
    colours_policy: Path, tmp_path: Path
) -> None:
    # Similar anchors are compared as texts, so these are what the whole prompt could have leaked into.
    trainer = make_trainer(
        colours_policy, tmp_path, advantage_estimator="gigpo", gigpo_similarity=0.99, paired_fraction=1.0,
        skills_in="text", history_in="text",
    )  # fmt: skip
    played = play(trainer)
    skilled = [turn for item in played.trajectories if item.arm for turn in item.turns]
    told = {word for turn in skilled for word in ("warm: red", "cold: blue")
            if word in trainer.encoder.decode(turn.prompt_ids)}  # fmt: skip
    assert told == {"warm: red", "cold: blue"}
    anchors = {arm: {text for item in played.summaries if item.with_skills == arm for text in item.anchors}
               for arm in (True, False)}  # fmt: skip
    assert anchors[True] == anchors[False] == {"a colour?", "no."}


class TestRound:
    def test_groups_without_spread_are_replaced(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, dynamic_sampling=3, **SETTINGS)
        use_reader(trainer, guessed=0.1)
        without = make_trainer(colours_policy, tmp_path, **SETTINGS)
        use_reader(without, guessed=0.1)
        first, played = play(without), play(trainer)
        flat = flat_groups(first.summaries, EstimatorSettings(), OFF)
        assert 0 < len(flat) < 4
        assert played.refills >= 1
        # Whatever had spread at first is there as it was; what had none is another task, at the same place.
        for row, (before, after) in enumerate(zip(first.trajectories, played.trajectories, strict=True)):
            assert (after == before) == (row // 4 not in flat)
            assert (after.task == before.task) == (row // 4 not in flat)
        assert [group % 4 for group in played.groups] == [group for group in range(4) for _ in range(4)]
        # Nothing is lost from the count: 4 episodes a replaced group, under numbers of their own.
        figures = played.figures()
        assert len(played.summaries) == 16
        assert len(played.everything) == 16 + figures["dynamic_sampling/extra_episodes"]
        assert figures["dynamic_sampling/extra_episodes"] == 4 * figures["dynamic_sampling/replaced_groups"]
        numbers = [summary.group for summary in played.everything]
        assert all(numbers.count(number) == 4 for number in numbers)
        left = flat_groups(played.summaries, EstimatorSettings(), OFF)
        assert figures["dynamic_sampling/flat_groups_left"] == len(left)
        assert not left or played.refills == 3

    @pytest.mark.parametrize("bound", [1, 2])
    def test_refills_are_bounded(self, colours_policy: Path, tmp_path: Path, bound: int) -> None:
        # A policy that never wins has no group with spread.
        trainer = make_trainer(colours_policy, tmp_path, dynamic_sampling=bound, **SETTINGS)
        use_reader(trainer, guessed=0.0)
        played = play(trainer)
        assert played.figures() == {
            "dynamic_sampling/refills": bound, "dynamic_sampling/replaced_groups": 4 * bound,
            "dynamic_sampling/extra_episodes": 16 * bound, "dynamic_sampling/flat_groups_left": 4,
        }  # fmt: skip
        # The first round and each refill play other tasks: 4 of 16 each time.
        assert len({trajectory.task.id for trajectory in played.trajectories}) == 4
        assert [group // 4 for group in played.groups] == [bound] * 16

    def test_it_ends_when_all_tasks_were_played(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, dynamic_sampling=9, num_tasks=6, **SETTINGS)
        use_reader(trainer, guessed=0.0)
        figures = play(trainer).figures()
        assert figures["dynamic_sampling/replaced_groups"] == 2  # of 6 tasks, 4 were in the round
        assert figures["dynamic_sampling/refills"] == 1
        assert figures["dynamic_sampling/flat_groups_left"] == 4

    def test_a_round_without_flat_groups_is_played_once(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(
            colours_policy, tmp_path, dynamic_sampling=3, tasks=tasks_of("wwwwwccc"), **SETTINGS
        )
        use_reader(trainer, guessed=0.5)
        for number in range(40):
            played = play(trainer, number)
            if not flat_groups(played.summaries, EstimatorSettings(), OFF) and not played.replaced:
                assert played.figures()["dynamic_sampling/refills"] == 0
                return
        raise AssertionError("no round without flat groups in 40")

    def test_pairs_are_replaced_by_pairs_and_all_of_them_are_measured(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        paired = {"paired_fraction": 1.0, "num_stages": None, "budgets": [2], "helpfulness_filter": "none"}
        trainer = make_trainer(colours_policy, tmp_path, env=Colours, dynamic_sampling=1, **paired)
        use_reader(trainer, told=1.0, guessed=0.0)
        played = play(trainer)
        # Every arm is flat and every Delta_g is 1.
        assert played.figures()["dynamic_sampling/replaced_groups"] == 4
        for arms in ([bool(item.arm) for item in played.trajectories[start : start + 4]] for start in (0, 4)):
            assert arms == [True, True, False, False]
        rounds.make_round(trainer, [{"task": place // 4} for place in range(16)])
        assert len(trainer.pairs.episodes) == 32
        assert len({episode.group for episode in trainer.pairs.episodes}) == 8
        assert trainer._metrics["train"]["paired/groups"] == [8.0]
        # With something to imitate in each of them, none is replaced.
        imitates = make_trainer(
            colours_policy, tmp_path, env=Colours, dynamic_sampling=1, internalization_weight=1.0,
            internalization_weighting="effect", **paired,
        )  # fmt: skip
        use_reader(imitates, told=1.0, guessed=0.0)
        assert play(imitates).refills == 0

    def test_rounds_never_share_a_number_of_a_group(self, colours_policy: Path, tmp_path: Path) -> None:
        paired = {"paired_fraction": 1.0, "num_stages": None, "budgets": [2], "helpfulness_filter": "none"}
        trainer = make_trainer(
            colours_policy, tmp_path, env=Colours, dynamic_sampling=2, max_steps=3, **paired,
            curriculum_interval=9,
        )  # fmt: skip
        use_reader(trainer, told=1.0, guessed=0.0)
        trainer.train()
        # None was judged yet. Three rounds of a first play and two refills, of 4 groups of 4 each.
        counts = Counter(episode.group for episode in trainer.pairs.episodes)
        assert sorted(counts) == list(range(36))
        assert set(counts.values()) == {4}

    def test_the_round_is_trained_on_and_logged(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, dynamic_sampling=2, max_steps=2, **SETTINGS)
        use_reader(trainer, guessed=0.1)
        start = parameters(trainer)
        trainer.train()
        assert not torch.equal(parameters(trainer), start)
        for row in history(trainer):
            assert row["rollout/trajectories"] == 16 + row["dynamic_sampling/extra_episodes"]
            assert row["groups/signal"] == 1 - row["dynamic_sampling/flat_groups_left"] / 4

    def test_off_it_leaves_no_trace(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, max_steps=1, **SETTINGS)
        trainer.train()
        assert not any(name.startswith("dynamic_sampling") for row in history(trainer) for name in row)


def test_a_process_without_rows_of_its_own_makes_as_many_generate_calls() -> None:
    class Scripted:
        calls = 0

        def generate(self, inputs: Any, sampling: Any) -> list[Any]:
            self.calls += 1
            return [None] * len(inputs)

    live = iter([3, 2, 0])  # the largest number of live episodes on any process
    policy = Scripted()
    with EnvPool(Colours, workers=0, timeout_s=5.0) as pool:
        found = AgentLoop(policy, pool).run([], Sampling(), 0, live_across_ranks=lambda count: next(live))  # type: ignore[arg-type]
    assert (found, policy.calls) == ([], 2)


def test_a_resumed_run_equals_the_uninterrupted_one(colours_policy: Path, tmp_path: Path) -> None:
    def make(folder: str) -> Any:
        trainer = make_trainer(
            colours_policy, tmp_path / folder, dynamic_sampling=2, max_steps=6, save_strategy="steps",
            save_steps=3, advantage_estimator="gigpo", **SETTINGS,
        )  # fmt: skip
        use_reader(trainer, guessed=0.2)
        return trainer

    whole, resumed = make("whole"), make("resumed")
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert sum(row["dynamic_sampling/replaced_groups"] for row in history(whole)[3:]) > 0
    assert history(resumed) == history(whole)
    assert torch.equal(parameters(resumed), parameters(whole))


def test_there_must_be_other_tasks(colours_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dynamic_sampling=1 .* give more tasks"):
        make_trainer(colours_policy, tmp_path, dynamic_sampling=1, num_tasks=4, **SETTINGS)
