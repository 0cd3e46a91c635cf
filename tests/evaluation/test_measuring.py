"""Delta_k measured with a policy that reads, so that the right answer can be counted; then the curriculum."""

from __future__ import annotations

import pytest
from words import BANK, TASKS, Words, grouping, guessing, knowing

from skill0.agent import AgentLoop, Policy, Sampling
from skill0.curriculum import Curriculum, Helpfulness
from skill0.envs import EnvPool, Task
from skill0.errors import ConfigError, SkillError
from skill0.evaluation import HelpfulnessReport, measure_helpfulness, sub_task
from skill0.skills import Skill, SkillBank, SkillFile, group_by_relevance

KNOWN = {"cool-frost", "cool-hail"}
"""Two of the four cool tasks are won without any skill."""


def measure(policy: Policy, active=BANK.names, tasks=TASKS, **settings) -> HelpfulnessReport:
    settings = {"sampling": Sampling(temperature=0.4), "seed": 1, **settings}
    with EnvPool(Words) as pool:
        return measure_helpfulness(AgentLoop(policy, pool), tasks, BANK, grouping(), active, **settings)


def test_set_form_counted_by_hand() -> None:
    """With skills all 8 tasks are won, without 0 of 4 heat and 2 of 4 cool tasks."""
    measured = measure(knowing(KNOWN))
    assert dict(measured) == {
        "general": Helpfulness("general", 8 / 8, 2 / 8, 6 / 8, 8, "set"),  # T_k: all tasks
        "heat": Helpfulness("heat", 4 / 4, 0 / 4, 1.0, 4, "set"),
        "cool": Helpfulness("cool", 4 / 4, 2 / 4, 0.5, 4, "set"),
    }
    # 8 tasks with skills, one step each; 8 without: 2 of one step, 6 of two.
    assert measured.report.episodes == 16
    assert measured.report.env_steps == 8 + 2 + 12
    assert [arm.name for arm in measured.report.arms] == ["with skills", "without skills"]


def test_marginal_form_counted_by_hand() -> None:
    """Without the general file every task is still won; without its own file only the known ones are."""
    measured = measure(knowing(KNOWN), form="marginal")
    assert dict(measured) == {
        "general": Helpfulness("general", 1.0, 1.0, 0.0, 8, "marginal"),
        "heat": Helpfulness("heat", 1.0, 0.0, 1.0, 4, "marginal"),
        "cool": Helpfulness("cool", 1.0, 0.5, 0.5, 4, "marginal"),
    }
    # 8 with all; 8 without general; 4 without heat; 4 without cool.
    assert measured.report.episodes == 24


def test_only_active_files_are_measured_and_nothing_is_played_twice() -> None:
    measured = measure(knowing(), active=("heat",))
    assert list(measured) == ["heat"]
    # The 4 cool tasks are shown no file in either arm: one episode serves both.
    assert measured.report.episodes == 4 + 4 + 4


def test_marginal_form_of_a_single_file_is_its_set_form() -> None:
    for active in (("heat",), ("cool",)):
        marginal = measure(knowing(KNOWN), active=active, form="marginal")
        whole_set = measure(knowing(KNOWN), active=active)
        assert [h.delta for h in marginal.values()] == [h.delta for h in whole_set.values()]


def test_showing_every_task_all_active_files() -> None:
    measured = measure(knowing(), scope="all")
    shown = measured.report["with skills"].skills_by_task_type()
    assert shown == {"heat": [["general", "heat", "cool"]], "cool": [["general", "heat", "cool"]]}
    assert measured["heat"].delta == 1.0


def test_a_policy_that_ignores_its_context_measures_exactly_zero() -> None:
    measured = measure(guessing())
    assert [helpfulness.delta for helpfulness in measured.values()] == [0.0, 0.0, 0.0]
    assert 0 < measured.report["with skills"].success().successes < 8


def test_infrastructure_failures_are_dropped_in_pairs() -> None:
    cursed = Task("cursed-ash", "words", "heat", "say it.", "ash")
    measured = measure(knowing(), tasks=[*TASKS, cursed])
    assert measured["heat"] == Helpfulness("heat", 1.0, 0.0, 1.0, 4)
    only_cursed = measure(knowing(), tasks=[*TASKS[4:], cursed])
    assert only_cursed["heat"] == Helpfulness("heat", None, None, None, 0)


def test_a_file_without_validation_tasks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'heat' serves"):
        measure(knowing(), tasks=TASKS[4:])
    assert list(measure(knowing(), tasks=TASKS[4:], active=("cool",))) == ["cool"]


def test_a_file_that_serves_nothing_is_not_measured() -> None:
    stray = SkillFile("stray", "Swimming", (Skill("Float", "Lie still."),), task_types=("swim",))
    groups = group_by_relevance(SkillBank((*BANK.files, stray)), TASKS, allow_unmatched=True)
    assert sub_task(TASKS, groups, "stray") == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"form": "total"}, ConfigError),
        ({"active": ("heat", "swim")}, SkillError),
        ({"scope": "some"}, ConfigError),
        ({"tasks": [TASKS[0], TASKS[0]]}, ConfigError),
    ],
)
def test_what_cannot_be_measured(settings: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        measure(knowing(), **settings)


def test_algorithm_1_with_a_policy_that_learns() -> None:
    """The curriculum against a policy that internalises two cool tasks per validation, and heat never.

    30 steps, stages of 10, a validation every 5: files 3, so budgets (3, 2, 0).
    Step 5: knows 2 cool tasks: Delta general .75, heat 1, cool .5: all stay.
    Step 10 (budget 2): knows all cool tasks: cool 0: dropped by the filter; general .5, heat 1 stay.
    Step 15: cool tasks are won without a file, general and heat still help: both stay.
    Step 20 (budget 0): everything goes.
    """
    curriculum = Curriculum(BANK.names, total_steps=30, interval=5)
    learned = {5: KNOWN, 10: {task.id for task in TASKS if task.task_type == "cool"}}
    known: set[str] = set()
    for step in range(30):
        known |= learned.get(step, set())
        if curriculum.due(step):
            needed = curriculum.needs_helpfulness(step)
            curriculum.update(step, measure(knowing(known), curriculum.active) if needed else {})
    assert [(change.step, change.budget, change.kept) for change in curriculum.timeline] == [
        (5, 3, ("general", "heat", "cool")),
        (10, 2, ("general", "heat")),
        (15, 2, ("general", "heat")),
        (20, 0, ()),
    ]
    assert curriculum.timeline[1].reasons["cool"] == "withdrawn: Delta +0.0000 is not above 0"
