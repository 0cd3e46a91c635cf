"""Which episodes a process plays, and what generators inside the trainer hand to the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from colours import make_trainer
from colours_world import make_bank, make_tasks

from skill0.agent import PolicyInput, RolloutGroup, Sampling
from skill0.context import ContextRenderer, PageStyle
from skill0.errors import ConfigError
from skill0.training import trl_internals
from skill0.training.rollout import VllmPolicy, derived_seed, local_groups, without_vision_tokens

TASKS = make_tasks(3)


def plain(task: Any) -> tuple:
    return ()


def test_rows_of_one_process() -> None:
    rows = [task for task in TASKS for _ in range(4)]
    groups, numbers = local_groups(rows, first_row=0, group_size=4, skills=plain)
    assert [(group.task, group.size, group.first_member) for group in groups] == [
        (task, 4, 0) for task in TASKS
    ]
    assert numbers == [0] * 4 + [1] * 4 + [2] * 4


def test_a_group_that_spans_two_processes_numbers_its_members_through() -> None:
    rows = [task for task in TASKS for _ in range(4)]
    halves = [
        local_groups(rows[start : start + 6], first_row=start, group_size=4, skills=plain) for start in (0, 6)
    ]
    (first, first_numbers), (second, second_numbers) = halves
    assert [(g.task.id, g.first_member, g.size) for g in first] == [("task-0", 0, 4), ("task-1", 0, 2)]
    assert [(g.task.id, g.first_member, g.size) for g in second] == [("task-1", 2, 2), ("task-2", 0, 4)]
    assert first_numbers + second_numbers == [0] * 4 + [1] * 4 + [2] * 4


def test_skills_are_those_of_the_task() -> None:
    bank = make_bank()
    groups, _ = local_groups(TASKS, first_row=0, group_size=1, skills=lambda task: (bank[task.task_type],))
    assert [group.arm for group in groups] == [("warm",), ("cold",), ("warm",)]


def warm_only(task: Any) -> tuple:
    return (make_bank()["warm"],) if task.task_type == "warm" else ()


@pytest.mark.parametrize("sizes", [(12,), (6, 6), (3, 3, 3, 3), (5, 1, 6), (1,) * 12])
def test_arms_of_a_paired_group_number_their_members_alike_wherever_they_run(sizes: tuple[int, ...]) -> None:
    # Tasks 0 and 2 are warm, task 1 is cold and has no skill: it is not paired although it was chosen.
    rows = [task for task in TASKS for _ in range(4)]
    episodes, numbers, start = [], [], 0
    for size in sizes:
        groups, mine = local_groups(
            rows[start : start + size], first_row=start, group_size=4, skills=warm_only, paired={1, 2}
        )
        numbers += mine
        episodes += [(g.task.id, g.arm, g.first_member + i) for g in groups for i in range(g.size)]
        start += size
    assert numbers == [0] * 4 + [1] * 4 + [2] * 4
    assert episodes == [
        *[("task-0", ("warm",), member) for member in range(4)],
        *[("task-1", (), member) for member in range(4)],
        *[("task-2", ("warm",), member) for member in range(2)],
        *[("task-2", (), member) for member in range(2)],
    ]


def test_derived_seeds_differ_by_every_part() -> None:
    seeds = {
        derived_seed(0, "round", 1),
        derived_seed(0, "round", 2),
        derived_seed(1, "round", 1),
        derived_seed(0),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, "round", 1) == derived_seed(0, "round", 1)


class ByteEncoder:
    """Ids are bytes; one placeholder 256 for every visual token."""

    vision_token_ids = (256,)

    def encode(self, item: PolicyInput) -> tuple[int, ...]:
        return (256,) * (0 if item.page is None else item.page.visual_tokens) + tuple(item.text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode()

    def token_spans(self, ids: list[int]) -> tuple[tuple[int, int], ...]:
        return tuple((place, place + 1) for place in range(len(ids)))


def test_vllm_gets_ids_and_pictures_and_its_replies_are_kept_as_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def scripted(trainer: Any, prompts: Any, images: Any, sampling: Sampling) -> Any:
        asked.append((prompts, images, sampling))
        return [list(b"ok"), list(b"no")], [[-0.1, -0.2], [-0.3, -0.4]]

    monkeypatch.setattr(trl_internals, "vllm_generate", scripted)
    policy = VllmPolicy(SimpleNamespace(), ByteEncoder())  # type: ignore[arg-type]
    page = ContextRenderer().page([], PageStyle())
    outputs = policy.generate([PolicyInput("", "a", page), PolicyInput("", "b", None)], Sampling(0.7))
    (prompts, images, sampling) = asked[0]
    assert prompts == [[256] * page.visual_tokens + [97], [98]]
    assert [None if picture is None else picture[0].size for picture in images] == [(56, 56), None]
    assert sampling == Sampling(0.7)
    assert [(o.text, o.completion_ids, o.logprobs) for o in outputs] == [
        ("ok", tuple(b"ok"), (-0.1, -0.2)),
        ("no", tuple(b"no"), (-0.3, -0.4)),
    ]
    policy.generate([PolicyInput("", "a", None), PolicyInput("", "b", None)], Sampling())
    assert asked[1][1] is None  # no pictures at all


def test_vision_tokens_are_made_impossible_for_vllm() -> None:
    assert without_vision_tokens(None, [8, 9]) == {"logit_bias": {8: -100.0, 9: -100.0}}
    given = {"seed": 1, "logit_bias": {"3": 2, 9: 5}}
    assert without_vision_tokens(given, [9]) == {"seed": 1, "logit_bias": {3: 2.0, 9: -100.0}}
    assert given["logit_bias"] == {"3": 2, 9: 5}
    with pytest.raises(ConfigError, match="must be a dict"):
        without_vision_tokens("kwargs.json", [9])


class TestWholeWeights:
    """Where weights are split, gathering them is the model's whole size: once a run, not once a turn."""

    @pytest.fixture
    def gathered(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Grows by an entry for each time that weights are gathered."""
        times: list[int] = []

        @contextlib.contextmanager
        def counted(trainer: Any, gather: Any = trl_internals.generation_model) -> Iterator[Any]:
            times.append(1)
            with gather(trainer) as model:
                yield model

        monkeypatch.setattr(trl_internals, "generation_model", counted)
        return times

    def test_they_are_gathered_once_for_all_turns(
        self, colours_policy: Path, tmp_path: Path, gathered: list[int]
    ) -> None:
        trainer = make_trainer(colours_policy, tmp_path, skills=None)
        for run in (1, 2):
            (played,) = trainer.loop.run([RolloutGroup(TASKS[0], 1)], Sampling(max_new_tokens=2), seed=run)
            assert len(played.turns) == 3  # replies too short to say anything
            assert len(gathered) == run
        # The probe of a sampler asks the policy itself.
        trainer.loop.policy.generate([PolicyInput("", "", None)], Sampling(max_new_tokens=2))
        assert len(gathered) == 3

    def test_a_run_that_fails_gathers_again_when_it_is_repeated(
        self, colours_policy: Path, tmp_path: Path, gathered: list[int]
    ) -> None:
        trainer = make_trainer(colours_policy, tmp_path, skills=None)
        twice = [RolloutGroup(TASKS[0], 1)] * 2
        for times in (1, 2):
            with pytest.raises(ConfigError, match="played twice"):
                trainer.loop.run(twice, Sampling(), seed=0)
            assert len(gathered) == times

    def test_replies_are_drawn_in_the_precision_of_training(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        for bf16 in (False, True):
            trainer = make_trainer(colours_policy, tmp_path, skills=None, bf16=bf16)
            assert trainer.loop.policy.while_whole(lambda: torch.is_autocast_enabled("cpu")) == bf16
            assert not torch.is_autocast_enabled("cpu")
