"""The study by hand: episode budgets, intervals, verdicts, first moves; and the whole in small."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from study.arms import ABLATIONS, DEFAULT, PLAIN, PUBLISHED, all_arms, chosen_arms  # noqa: E402
from study.episodes import most_rounds, plan, validation_cost, validations  # noqa: E402
from study.facts import (  # noqa: E402
    first_place,
    goes_where_kept,
    reads_where_told,
    shows_fact,
    wanted_appliances,
)
from study.intervals import Mean, mean_over_seeds, overlap, paired_difference  # noqa: E402
from study.jobs import scaled_budgets  # noqa: E402
from study.tables import mean_curve, pool  # noqa: E402
from study.verdicts import DOES_NOT, HOLDS, UNDECIDED, decide  # noqa: E402

from skill0.curriculum import Curriculum  # noqa: E402
from skill0.envs.alfworld.procedures import sample_procedure  # noqa: E402
from skill0.envs.base import Task  # noqa: E402
from skill0.errors import ConfigError  # noqa: E402
from skill0.evaluation import Rate, TaskOutcome  # noqa: E402
from skill0.skills import Skill, SkillBank, SkillFile, group_by_relevance  # noqa: E402
from skill0.training.preparation import make_curriculum  # noqa: E402
from skill0.training.recipe import Recipe, load_recipe  # noqa: E402
from skill0.training.run import training_config  # noqa: E402

# ---------------------------------------------------------------- episode budgets


def skill0(total_steps: int) -> Curriculum:
    """Three files, three stages: budgets 3, 2, 0."""
    return Curriculum(("a", "b", "c"), total_steps=total_steps, interval=2)


def plain(total_steps: int) -> Curriculum:
    return Curriculum(("a", "b", "c"), total_steps=total_steps, budgets=[0, 0, 0])


def test_validations_are_those_the_trainer_will_play() -> None:
    # Six rounds of one step. Stage 1 holds steps 0-1, stage 2 steps 2-3, stage 3 steps 4-5. Step 0 is never
    # due; step 2 opens stage 2 with three files, two may stay; step 4 withdraws all without a validation.
    assert validations(skill0(6), rounds=6, steps_per_round=1) == [("a", "b", "c")]
    # Four steps a round, 24 in all: rounds start at steps 0, 4, ..., 20, stages at 0, 8 and 16. Due are 4 and
    # 8 with three files, 12 with two, and 16 withdraws all.
    found = validations(skill0(24), rounds=6, steps_per_round=4)
    assert found == [("a", "b", "c"), ("a", "b", "c"), ("a", "b")]
    assert validations(plain(24), rounds=6, steps_per_round=4) == []


def test_a_validation_counts_as_many_episodes_as_half_the_rounds_it_costs() -> None:
    # A round is 10 episodes, a validation 20. Six rounds of one step have one validation: 60 + 20.
    found = plan(skill0, lambda active: 20, rounds=6, round_size=10, steps_per_round=1)
    assert (found.steps, found.training, found.validation, found.episodes) == (6, 60, 20, 80)
    # In a budget of 80, plain GRPO plays eight rounds, the curriculum six.
    settings = {"budget": 80, "round_size": 10, "steps_per_round": 1}
    assert most_rounds(plain, lambda active: 20, **settings).rounds == 8
    assert most_rounds(skill0, lambda active: 20, **settings).rounds == 6
    with pytest.raises(ConfigError, match="no room for a round"):
        most_rounds(plain, lambda active: 20, budget=9, round_size=10, steps_per_round=1)


def bank() -> tuple[SkillBank, list[Task]]:
    files = tuple(
        SkillFile(kind, kind, (Skill("title", "words"),), task_types=(kind,), sha256=kind)
        for kind in ("heat", "cool")
    )
    tasks = [
        Task(f"{kind}-{n}", "words", kind, "say it.", None) for kind in ("heat", "cool") for n in range(3)
    ]
    return SkillBank(files), tasks


def test_the_cost_of_a_validation_counts_equal_episodes_once() -> None:
    skills, tasks = bank()
    grouping = group_by_relevance(skills, tasks)
    cost = validation_cost(tasks, skills, grouping, form="set", scope="relevant")
    assert cost(("heat", "cool")) == 6 + 6
    assert cost(("heat",)) == 3 + 6  # the tasks of "cool" see nothing in either arm
    # Marginal: each sub-task once more without its file, which leaves nothing.
    marginal = validation_cost(tasks, skills, grouping, form="marginal", scope="relevant")
    assert marginal(("heat", "cool")) == 6 + 3 + 3
    # All files to all tasks: without one file the other is left.
    everything = validation_cost(tasks, skills, grouping, form="marginal", scope="all")
    assert everything(("heat", "cool")) == 6 + 3 + 3
    assert everything(("heat",)) == 6 + 3


def test_budgets_on_another_bank_are_the_same_shares() -> None:
    assert scaled_budgets([6, 6, 6], 6, 5) == [5, 5, 5]
    assert scaled_budgets([6, 3, 0, 0], 6, 5) == [5, 3, 0, 0]  # ceil(2.5)
    assert scaled_budgets([6, 3, 0], 6, 6) == [6, 3, 0]


# ---------------------------------------------------------------- intervals and verdicts


def test_a_mean_over_three_seeds_by_hand() -> None:
    # 0.6, 0.7, 0.8: mean 0.7, standard deviation 0.1, t(2) = 4.303: 0.7 +- 4.303 * 0.1 / sqrt(3) = 0.2484.
    mean = mean_over_seeds([0.6, 0.7, 0.8])
    assert mean is not None
    assert mean.value == pytest.approx(0.7)
    assert mean.low == pytest.approx(0.4516, abs=1e-4)
    assert mean.high == pytest.approx(0.9484, abs=1e-4)
    assert str(mean) == "70.0 [45.2, 94.8]"
    # Two seeds, 0 and 1: 0.5 +- 12.706 * 0.7071 / 1.4142 = 6.353.
    two = mean_over_seeds([0.0, 1.0])
    assert two is not None
    assert two.high == pytest.approx(6.853)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    one = mean_over_seeds([0.5])
    assert one == Mean(0.5, -math.inf, math.inf, 1)
    assert str(one) == "50.0"
    assert one.to_json() == {"mean": 0.5, "low": None, "high": None, "seeds": 1}
    assert mean_over_seeds([]) is None


def test_differences_are_taken_within_a_seed() -> None:
    # Seeds 0 and 1 are in both arms: 0.3 and 0.3, whatever their tasks are worth.
    found = paired_difference({0: 0.9, 1: 0.5, 2: 0.1}, {0: 0.6, 1: 0.2})
    assert found is not None
    assert found.count == 2
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(0.1, 0.3)], HOLDS),
        ([(-0.1, 0.3)], UNDECIDED),
        ([(-0.3, -0.1)], DOES_NOT),
        ([(0.1, 0.3), (-0.1, 0.3)], UNDECIDED),
        ([(0.1, 0.3), (-0.3, -0.1)], DOES_NOT),
        ([(-math.inf, math.inf)], UNDECIDED),
        ([(0.1, 0.3), None], UNDECIDED),
    ],
)
def test_an_ordering_is_decided_by_intervals_alone(intervals: list, verdict: str) -> None:
    differences = [
        ("difference", None if ends is None else Mean(sum(ends) / 2, ends[0], ends[1], 3))
        for ends in intervals
    ]
    assert decide("an ordering", differences).verdict == verdict


def test_overlap_and_pooling() -> None:
    assert overlap(Mean(0.5, 0.4, 0.6, 3), Mean(0.7, 0.6, 0.8, 3))
    assert not overlap(Mean(0.5, 0.4, 0.6, 3), Mean(0.8, 0.7, 0.9, 3))
    assert pool([Rate(1, 2), Rate(5, 8)]) == Rate(6, 10)


def test_curves_of_seeds_become_one_with_a_band() -> None:
    curves = [[(0, 0.1), (10, 0.4)], [(0, 0.3), (14, 0.8)]]
    assert mean_curve(curves) == [(0, pytest.approx(0.2), 0.1, 0.3), (12, pytest.approx(0.6), 0.4, 0.8)]


def test_seeds_that_were_probed_at_different_steps_make_no_curve() -> None:
    with pytest.raises(ConfigError, match="different budgets or recipes"):
        mean_curve([[(0, 0.1)], [(0, 0.3), (14, 0.8)]])


# ---------------------------------------------------------------- first moves


def outcome(task_id: str, *actions: str) -> TaskOutcome:
    return TaskOutcome(task_id, "type", (), "failure", len(actions), 0, 0, 0, 0.0, actions=actions)


def test_the_first_go_to_tells_where_a_thing_is_kept() -> None:
    task = "pick_and_place_simple-SoapBar-None-Shelf-flat/household_1"
    convention = {"soapbar": "drawer"}
    assert goes_where_kept(outcome(task, "look", "go to drawer 2", "go to shelf 1"), convention)
    assert not goes_where_kept(outcome(task, "go to shelf 1", "go to drawer 2"), convention)
    assert not goes_where_kept(outcome(task, "look", "take drawer"), convention)
    assert first_place(("go to drawer",)) is None  # no such command


def test_the_first_appliance_tells_what_a_word_asks_for() -> None:
    """Of two words where the second undoes the first, only the second's appliance is right."""
    convention = sample_procedure(0)
    by_appliance = {convention[word]: word for word in ("festive", "grand", "merry")}
    clean, heat, cool = (by_appliance[name] for name in ("sinkbasin", "microwave", "fridge"))
    tasks = [
        Task("one", "t", "party_one_word", f"bring a {heat} mug to the guests.", None),
        Task("two", "t", "party_two_words", f"bring a {clean} and {cool} mug to the guests.", None),
        Task("last", "t", "party_last_word", f"bring a {heat} and {cool} mug to the guests.", None),
    ]
    wanted = wanted_appliances(tasks, convention)
    assert wanted == {"one": {"microwave"}, "two": {"sinkbasin", "fridge"}, "last": {"fridge"}}
    assert first_place(("go to shelf 1", "go to fridge 1"), {"fridge": 0, "microwave": 0}) == "fridge"


def test_the_first_section_searched_tells_where_a_relation_is_told() -> None:
    arrangement = {"currency": "economy"}

    def reads(*actions: str) -> bool:
        return reads_where_told(outcome("currency Mexico", *actions), arrangement)

    assert reads("<search>economy of Mexico</search>", "<answer>Mexican pesos</answer>")
    assert reads("<search>capital Mexico</search>", "<search>economy of Mexico</search>")  # names no section
    assert not reads("<search>people of Mexico</search>", "<search>economy of Mexico</search>")
    assert not reads("", "<answer>Mexican pesos</answer>")


def test_each_recipe_has_the_test_of_its_own_facts() -> None:
    """The true arrangement in the almanac; for a corpus, as for official games, none is known."""
    curricula = ABLATIONS.parent
    almanac = shows_fact(load_recipe(curricula / "search_cpu.yaml"))
    assert almanac is not None
    assert almanac(outcome("capital Peru", "<search>government of Peru</search>"))
    assert not almanac(outcome("capital Peru", "<search>people of Peru</search>"))
    assert shows_fact(load_recipe(curricula / "search_3b.yaml")) is None


# ---------------------------------------------------------------- the arms


def test_arms_come_in_the_order_of_the_tables() -> None:
    arms = all_arms()
    assert next(iter(arms)) == PLAIN
    assert chosen_arms(["default", "plain_grpo"], arms) == [arms[PLAIN], arms[DEFAULT]]
    assert chosen_arms(["all"], arms) == list(arms.values())
    with pytest.raises(ConfigError, match=r"no arms .'defualt'"):
        chosen_arms(["defualt"], arms)


PLAIN_LIKE_DEFAULT = "plain_grpo_default_beta"
OF_SKILL0 = {
    "plain_grpo": {"budgets"},
    "full_bank": {"budgets"},
    "half_bank": {"budgets"},
    "finer_stages": {"num_stages"},
    "long_skill_free_end": {"num_stages", "budgets"},
    "no_filter": {"helpfulness_filter"},
    "random_rank": {"helpfulness_rank"},
    "interval_halved": {"curriculum_interval"},
    "interval_doubled": {"curriculum_interval"},
    "marginal": {"helpfulness_form"},
}
"""In what the ablations of published SKILL0 differ from it: nothing else, whatever the default becomes."""


def differing(one: Recipe, other: Recipe) -> set[str]:
    keys = one.training.keys() | other.training.keys()
    return {key for key in keys if one.training.get(key) != other.training.get(key)}


def test_the_arms_differ_from_their_base_as_their_names_say() -> None:
    """Figures relative to the base or its bank are written out in the recipes; here they are checked."""
    recipes = {name: load_recipe(arm.path) for name, arm in all_arms().items()}
    base = load_recipe(ABLATIONS.parent / "household_cpu.yaml")
    files = len(SkillBank.load(base.skills.bank).names)
    assert recipes[DEFAULT].training == base.training
    assert recipes["full_bank"].training["budgets"] == [files] * 3
    assert recipes["half_bank"].training["budgets"] == [files / 2] * 3
    assert recipes["long_skill_free_end"].training["budgets"] == [files, files / 2, 0, 0]
    assert differing(recipes["paired_only"], recipes[DEFAULT]) <= {"internalization_weight"}
    assert differing(recipes[PLAIN_LIKE_DEFAULT], recipes[PLAIN]) == {"beta"}
    assert recipes[PLAIN_LIKE_DEFAULT].training["beta"] == recipes[DEFAULT].training["beta"]
    assert differing(recipes["default_both"], recipes[DEFAULT]) <= {"helpfulness_from"}
    assert differing(recipes["internalization_only"], recipes["default_full_bank"]) == {"policy_weight"}
    for name, keys in OF_SKILL0.items():
        assert differing(recipes[name], recipes[PUBLISHED]) == keys, name
    interval = base.training["curriculum_interval"]
    assert recipes["interval_halved"].training["curriculum_interval"] == interval / 2
    assert recipes["interval_doubled"].training["curriculum_interval"] == interval * 2
    for name, recipe in recipes.items():
        assert {key: value for key, value in recipe.as_dict().items() if key != "training"} == {
            key: value for key, value in base.as_dict().items() if key != "training"
        }, name


NEVER_WITHDRAWN_BY_BUDGET = {"full_bank", "half_bank", "default_full_bank", "internalization_only"}


@pytest.mark.parametrize("name", sorted(all_arms()))
def test_every_arm_ends_without_skills_unless_it_is_there_to_keep_them(name: str, tmp_path: Path) -> None:
    """The trainer accepts its settings, too."""
    recipe = load_recipe(all_arms()[name].path)
    config = training_config(recipe, tmp_path)
    bank = SkillBank.load(recipe.skills.bank)
    curriculum = make_curriculum(config, bank, config.max_steps)
    assert (curriculum.budgets[-1] > 0) == (name in NEVER_WITHDRAWN_BY_BUDGET)
    assert (curriculum.budgets[0] > 0) == (name not in (PLAIN, PLAIN_LIKE_DEFAULT))


@pytest.mark.integration
def test_the_whole_study_in_small(tmp_path: Path) -> None:
    """Two arms, one seed, a few short rounds in processes of their own; a second call plays nothing."""
    pytest.importorskip("alfworld")

    def call(*options: str) -> str:
        command = [sys.executable, str(ROOT / "benchmarks/internalization.py"), "--quick", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        found = subprocess.run(
            [*command, "--output", str(tmp_path / "runs"), "--jobs", "2"],
            capture_output=True, text=True, env=environment, check=False, timeout=800,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
        return found.stdout

    call("--json", str(tmp_path / "study.json"), "--figures", str(tmp_path / "figures"))
    study = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert list(study["arms"]) == [PLAIN, DEFAULT]
    plain_run, default_run = (study["arms"][name]["runs"][0] for name in (PLAIN, DEFAULT))
    assert plain_run["episodes"]["validation"] == 0
    # At most a round and a validation apart.
    assert abs(plain_run["episodes"]["all"] - default_run["episodes"]["all"]) < 4 + 12
    assert len(plain_run["curves"]["without skills"]) == 2  # before the first step and after the last
    assert {verdict["verdict"] for verdict in study["verdicts"]} == {UNDECIDED}  # one seed decides nothing
    assert len(list((tmp_path / "figures").glob("internalization_*.png"))) == 4
    told = call("--markdown")
    assert "2 runs are there, 0 to play" in told
    assert "| plain_grpo | 0 | " in told  # success of each seed
