"""What a trainer is given: wrong input is an error before training starts, and says what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from colours import make_config, make_trainer
from colours_world import PatientColours, make_bank, make_tasks

from skill0.curriculum import Curriculum
from skill0.errors import ConfigError, PolicyError, SkillError
from skill0.skills import SkillBank
from skill0.training.preparation import (
    TaskSampler,
    hold_out,
    make_curriculum,
    resolve_env,
    resolve_tasks,
    split_tasks,
)


class TestTasks:
    def test_held_out_tasks_are_spread_over_the_types(self) -> None:
        tasks = make_tasks(20)
        train, validation = hold_out(tasks, 6, seed=0)
        assert Counter(task.task_type for task in validation) == {"warm": 3, "cold": 3}
        assert [task for task in tasks if task in train or task in validation] == tasks
        assert len(train) == 14
        assert hold_out(tasks, 6, seed=0)[1] == validation
        assert hold_out(tasks, 6, seed=1)[1] != validation

    def test_a_rare_type_keeps_a_task_to_train_on(self) -> None:
        tasks = [task for task in make_tasks(9) if task.task_type == "warm"] + make_tasks(2, "other")[1:]
        train, validation = hold_out(tasks, 4, seed=0)  # 5 warm tasks, 1 cold
        assert Counter(task.task_type for task in train) == {"warm": 1, "cold": 1}
        assert len(validation) == 4

    def test_too_few_to_hold_out(self) -> None:
        with pytest.raises(ConfigError, match="num_validation_tasks=9 leaves too few of 10 tasks"):
            hold_out(make_tasks(10), 9, seed=0)

    def test_none_are_held_out_where_helpfulness_is_not_measured(self, tmp_path: Path) -> None:
        tasks = make_tasks(16)

        def validation(bank: SkillBank | None, **changes: Any) -> int:
            return len(split_tasks(tasks, None, make_config(tmp_path, **changes), bank, None)[1])

        assert validation(make_bank()) == 4
        assert validation(None) == 0
        assert validation(make_bank(), budgets=[0, 0]) == 0
        assert validation(make_bank(), helpfulness_filter="none", helpfulness_rank="random") == 0
        assert validation(make_bank(), paired_fraction=0.5, helpfulness_from="paired") == 0
        assert validation(make_bank(), paired_fraction=0.5, helpfulness_from="both") == 4

    def test_no_tasks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError, match="no tasks: `tasks` must hold"):
            resolve_tasks([], PatientColours)
        monkeypatch.delenv("ALFWORLD_DATA", raising=False)
        with pytest.raises(ConfigError, match=r"set \$ALFWORLD_DATA"):
            resolve_tasks(None, "alfworld")

    def test_an_id_twice(self) -> None:
        with pytest.raises(ConfigError, match="'task-0' twice"):
            resolve_tasks([*make_tasks(2), *make_tasks(1)], PatientColours)

    def test_an_unknown_environment(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="env='atari'"):
            resolve_env("atari", make_config(tmp_path))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tasks": []}, ConfigError, "no tasks"),
        ({"num_tasks": 7}, ConfigError, "3 training tasks are fewer than the 4 that one round needs"),
        ({"skills": "no/such/bank"}, SkillError, "no such file or folder"),
        ({"skills": SkillBank()}, ConfigError, "the skill bank is empty"),
        ({"env": None}, ConfigError, "env=None"),
        ({"always_keep": ["hot"]}, ConfigError, "unknown skill files"),
        ({"num_stages": 9}, ConfigError, "total_steps=4 is less than num_stages=9"),
        ({"eval_strategy": "steps", "eval_steps": 1}, ConfigError, "needs eval_tasks"),
        ({"model": "no/such/model"}, PolicyError, "no model here"),
        ({"model_init_kwargs": {"device_map": "auto"}}, ConfigError, "device_map"),
    ],
)  # fmt: skip
def test_wrong_input(
    colours_policy: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_trainer(colours_policy, tmp_path, **changes)


def curriculum(names: tuple[str, ...] = ("warm", "cold")) -> Curriculum:
    return Curriculum(names, total_steps=4, budgets=[2, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skills": None, "curriculum": curriculum()}, "without skills"),
        ({"curriculum": curriculum(("hot", "cold"))}, "the curriculum is over"),
        ({"curriculum": curriculum()}, "num_stages=2 describe a curriculum, but one was given"),
        (
            {"curriculum": curriculum(), "num_stages": None, "selection_confidence": 0.9},
            r"selection_confidence=0\.9 describes a curriculum, but one was given",
        ),
    ],
)
def test_a_curriculum_that_does_not_fit(
    colours_policy: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(colours_policy, tmp_path, **changes)


def test_the_curriculum_is_asked_for_confidence(tmp_path: Path) -> None:
    args = make_config(tmp_path, selection_confidence=0.9)
    assert make_curriculum(args, make_bank(), total_steps=4).confidence == 0.9
    assert make_curriculum(make_config(tmp_path), make_bank(), total_steps=4).confidence is None


def test_a_text_only_model_is_refused(tmp_path: Path, colours_policy: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from skill0.policy import load_processor

    small = Qwen2Config(
        vocab_size=320, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(small)
    with pytest.raises(PolicyError, match=r"'qwen2'.*takes a Qwen2\.5-VL"):
        make_trainer(colours_policy, tmp_path, model=model, processing_class=load_processor(colours_policy))
    model.save_pretrained(tmp_path / "text")
    with pytest.raises(PolicyError, match=r"'qwen2'.*takes a Qwen2\.5-VL"):
        make_trainer(tmp_path / "text", tmp_path)


def test_a_model_made_in_memory_needs_a_processor_and_has_no_reference(
    tmp_path: Path, colours_policy: Path
) -> None:
    from skill0.policy import TinyPolicySettings, build_tiny_policy

    settings = TinyPolicySettings(hidden_size=32, num_layers=1, num_heads=2, num_key_value_heads=2)
    model, processor = build_tiny_policy(settings, ["red"])
    with pytest.raises(PolicyError, match="give processing_class"):
        make_trainer(colours_policy, tmp_path, model=model)
    with pytest.raises(PolicyError, match=r"beta=0\.1 needs a reference policy.*made in memory"):
        make_trainer(colours_policy, tmp_path, model=model, processing_class=processor, beta=0.1)


class TestSampler:
    """16 tasks, 4 a round in groups of 2, each round serving 3 windows."""

    def rows(self, epoch: int, *, seed: int = 0) -> list[int]:
        return list(
            TaskSampler(
                range(16), mini_repeat_count=2, batch_size=4, repeat_count=3, seed=seed, epoch=lambda: epoch
            )
        )

    def test_groups_stand_together_and_rounds_repeat(self) -> None:
        rows = self.rows(0)
        assert len(rows) == 16 * 2 * 3
        assert rows[0:8:2] == rows[1:8:2]
        assert rows[0:8] == rows[8:16] == rows[16:24] != rows[24:32]
        assert sorted(rows) == sorted(list(range(16)) * 6)

    def test_the_order_follows_from_seed_and_epoch_alone(self) -> None:
        assert self.rows(1) == self.rows(1)
        assert self.rows(1) != self.rows(0)
        assert self.rows(1, seed=5) != self.rows(1)
