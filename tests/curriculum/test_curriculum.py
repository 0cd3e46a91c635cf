"""Algorithm 1, played through with measurements whose outcome is known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.curriculum import Curriculum, CurriculumChange, Helpfulness
from skill0.errors import CheckpointError, ConfigError

FILES = ("general", "pick", "look", "clean", "heat", "cool")


def measured(**deltas: float) -> dict[str, Helpfulness]:
    return {
        name: Helpfulness(name, 0.5 + delta / 2, 0.5 - delta / 2, delta, 8) for name, delta in deltas.items()
    }


def helpful(names: tuple[str, ...]) -> dict[str, Helpfulness]:
    """Every file helps, the later in the bank the more."""
    return measured(**{name: (FILES.index(name) + 1) / 16 for name in names})


def test_the_papers_schedule_end_to_end() -> None:
    """180 steps, three stages, interval 10: budgets 6, 3, 0."""
    curriculum = Curriculum(FILES, total_steps=180, interval=10)
    assert curriculum.budgets == (6, 3, 0)
    assert curriculum.active == FILES
    sizes, rounds = [], []
    for step in range(180):
        if curriculum.due(step):
            needed = curriculum.needs_helpfulness(step)
            curriculum.update(step, helpful(curriculum.active) if needed else {})
            rounds.append(step)
        sizes.append(len(curriculum.active))
    # Stage 1 judges after 10, 20, ... steps; stage 2 at once and then every 10; stage 3 empties at once.
    assert rounds == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]
    assert sizes == [6] * 60 + [3] * 60 + [0] * 60
    assert curriculum.timeline[5].kept == ("clean", "heat", "cool")
    assert curriculum.timeline[-1].withdrawn == ("clean", "heat", "cool")
    assert curriculum.timeline[-1].reasons["heat"] == "withdrawn: the budget is 0"


@given(
    num_files=st.integers(1, 8),
    num_stages=st.integers(2, 7),
    total=st.integers(7, 90),
    interval=st.integers(1, 30),
)
def test_the_budget_binds_at_every_step_for_any_numbers(
    num_files: int, num_stages: int, total: int, interval: int
) -> None:
    names = tuple(f"file{number}" for number in range(num_files))
    curriculum = Curriculum(names, total_steps=total, num_stages=num_stages, interval=interval)
    for step in range(total):
        if curriculum.due(step):
            deltas = measured(**dict.fromkeys(curriculum.active, 0.25))
            curriculum.update(step, deltas if curriculum.needs_helpfulness(step) else {})
            assert not curriculum.due(step)  # one round per step
        assert len(curriculum.active) == curriculum.budget(step)  # all help, so the budget is used in full
    assert curriculum.active == ()


def test_self_pacing_withdraws_before_the_budget_does() -> None:
    """Equation 19: a skill that is internalised has Delta_k = 0, and the positivity filter drops it."""
    curriculum = Curriculum(FILES, total_steps=180)
    deltas = {**helpful(FILES), **measured(clean=0.0)}
    change = curriculum.update(10, deltas)
    assert change.withdrawn == ("clean",)
    assert change.reasons["clean"] == "withdrawn: Delta +0.0000 is not above 0"
    assert change.budget == 6  # the budget had room for it
    # It does not return, however helpful a later measurement calls it.
    later = curriculum.update(20, {**helpful(curriculum.active), **measured(clean=0.5)})
    assert "clean" not in later.kept
    assert "clean" not in later.reasons


def test_nothing_left_means_nothing_to_validate() -> None:
    curriculum = Curriculum(FILES, total_steps=180)
    curriculum.update(10, measured(**dict.fromkeys(FILES, 0.0)))
    assert curriculum.active == ()
    assert not any(curriculum.due(step) for step in range(11, 180))


def test_fixed_full_bank() -> None:
    curriculum = Curriculum(FILES, total_steps=30, budgets=[6, 6, 6], filter="none", rank="none")
    for step in range(30):
        if curriculum.due(step):
            assert not curriculum.needs_helpfulness(step)
            curriculum.update(step, {})
    assert curriculum.active == FILES


def test_constant_budgets_still_filter() -> None:
    curriculum = Curriculum(FILES, total_steps=180, budgets=[6, 6, 6])
    curriculum.update(10, {**helpful(FILES), **measured(pick=-0.25)})
    assert curriculum.active == ("general", "look", "clean", "heat", "cool")


def test_budgets_of_zero_never_show_a_skill() -> None:
    curriculum = Curriculum(FILES, total_steps=30, budgets=[0, 0, 0])
    assert curriculum.due(0)
    assert not curriculum.needs_helpfulness(0)
    assert curriculum.update(0, {}).withdrawn == FILES


def test_a_budget_below_the_bank_binds_at_the_first_step() -> None:
    curriculum = Curriculum(FILES, total_steps=30, budgets=[3, 3, 3])
    assert curriculum.due(0)
    assert curriculum.update(0, helpful(FILES)).kept == ("clean", "heat", "cool")


def test_random_choice_is_the_ablation_without_ranking() -> None:
    def chosen(seed: int) -> tuple[str, ...]:
        return (
            Curriculum(FILES, total_steps=30, budgets=[3, 3, 3], rank="random", seed=seed)
            .update(0, helpful(FILES))
            .kept
        )

    assert chosen(1) == chosen(1)
    assert len({chosen(seed) for seed in range(20)}) > 5


def test_always_keep_lasts_until_the_budget_is_zero() -> None:
    curriculum = Curriculum(FILES, total_steps=180, always_keep=["general"])
    curriculum.update(60, helpful(FILES[1:]))  # general itself need not be measured
    assert curriculum.active == ("general", "heat", "cool")
    curriculum.update(120, {})
    assert curriculum.active == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_stages": 1}, "at least 2 stages"),
        ({"num_stages": 4, "budgets": [6, 3, 0]}, "contradicts"),
        ({"budgets": []}, "empty"),
        ({"budgets": [7, 3, 0]}, "between 0 and 6"),
        ({"budgets": [6, -1, 0]}, "between 0 and 6"),
        ({"budgets": [3, 6, 0]}, "does not return"),
        ({"total_steps": 2}, "at least one step"),
        ({"interval": 0}, "interval=0"),
        ({"filter": "maybe"}, "filter='maybe'"),
        ({"rank": "maybe"}, "rank='maybe'"),
        ({"always_keep": ["generic"]}, "generic"),
        ({"always_keep": FILES[:4]}, "budget of 3 in stage 2"),
    ],
)
def test_contradictory_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Curriculum(FILES, **{"total_steps": 180, **settings})


def test_a_bank_needs_distinct_names() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Curriculum(("a", "a"), total_steps=30)
    with pytest.raises(ConfigError, match="at least one skill file"):
        Curriculum((), total_steps=30)


def test_bad_measurements_are_refused() -> None:
    curriculum = Curriculum(FILES, total_steps=180)
    with pytest.raises(ConfigError, match="unknown skill files"):
        curriculum.update(10, {**helpful(FILES), **measured(genral=0.5)})
    with pytest.raises(ConfigError, match="cool"):
        curriculum.update(10, helpful(FILES[:-1]))
    assert curriculum.active == FILES  # a refused update changes nothing
    curriculum.update(10, helpful(FILES))
    with pytest.raises(ConfigError, match="before the last update"):
        curriculum.update(9, helpful(FILES))


def test_state_survives_json_and_goes_on_where_it_was() -> None:
    curriculum = Curriculum(FILES, total_steps=180, seed=3)
    curriculum.update(10, helpful(FILES))
    curriculum.update(60, helpful(FILES))
    restored = Curriculum(FILES, total_steps=180, seed=3)
    restored.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert restored.active == curriculum.active
    assert restored.timeline == curriculum.timeline
    assert not restored.due(60)  # the round of step 60 is done
    assert restored.due(70)
    assert restored.update(70, helpful(restored.active)) == curriculum.update(70, helpful(curriculum.active))
    assert restored.state_dict() == curriculum.state_dict()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"version": 99}, "version"),
        ({"active": ["nobody"]}, "nobody"),
        ({"timeline": [{"step": 1}]}, "damaged"),
        ({"settings": {}}, "settings changed"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(damage: dict, message: str) -> None:
    curriculum = Curriculum(FILES, total_steps=180)
    with pytest.raises(CheckpointError, match=message):
        curriculum.load_state_dict({**curriculum.state_dict(), **damage})


def test_changed_settings_are_named() -> None:
    state = Curriculum(FILES, total_steps=180).state_dict()
    with pytest.raises(CheckpointError, match="total_steps: 180 then, 90 now"):
        Curriculum(FILES, total_steps=90).load_state_dict(state)


def test_the_curriculum_is_light() -> None:
    code = (
        "import sys, skill0.curriculum; assert not {'torch', 'numpy', 'PIL', 'alfworld'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_helpfulness_of_a_file_that_is_not_shown_is_never_recorded() -> None:
    curriculum = Curriculum(FILES, total_steps=180)
    curriculum.update(10, {**helpful(FILES), **measured(clean=0.0)})
    change = curriculum.update(20, {**helpful(curriculum.active), **measured(clean=0.5)})
    assert "clean" not in change.helpfulness
    assert "clean" not in curriculum.state_dict()["timeline"][1]["helpfulness"]
    with pytest.raises(ConfigError, match=r"\['clean'\], which were not in context"):
        CurriculumChange(20, 1, 6, ("heat",), (), {}, measured(clean=0.5))
    state = curriculum.state_dict()
    state["timeline"][1]["helpfulness"]["clean"] = measured(clean=0.5)["clean"].to_json()
    with pytest.raises(CheckpointError, match="not in context"):
        Curriculum(FILES, total_steps=180).load_state_dict(state)


def test_helpfulness_says_whose_it_is_and_in_which_form() -> None:
    curriculum = Curriculum(("heat", "cool"), total_steps=30)
    heat = Helpfulness("heat", 0.5, 0.25, 0.25, 8, "marginal")
    with pytest.raises(ConfigError, match="'heat' as 'cool'"):
        curriculum.update(5, {"heat": heat, "cool": heat})
    with pytest.raises(ConfigError, match="do not compare"):
        curriculum.update(5, {"heat": heat, **measured(cool=0.25)})
    change = curriculum.update(5, {"heat": heat, "cool": Helpfulness("cool", 0.5, 0.5, 0.0, 8, "marginal")})
    assert change.reasons == {
        "heat": "kept: marginal Delta +0.2500, place 1 for 2 left",
        "cool": "withdrawn: marginal Delta +0.0000 is not above 0",
    }
    assert change.to_json()["helpfulness"]["heat"]["form"] == "marginal"
