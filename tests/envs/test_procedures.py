"""Households whose skills are procedure: what must hold for every seed, on the texts alone.

`AFTER` and `final_state` follow the domain by hand (heating and cooling undo each other, cleaning
stays); they share no code with the generator. The engine's word is in test_procedures_engine.py.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from skill0.envs.alfworld.conventions import options, sample_convention, targets
from skill0.envs.alfworld.games import PROCEDURE_FAMILIES, PROCEDURE_FORMS, PROCEDURE_TASK_TYPES, TASK_TYPES
from skill0.envs.alfworld.households import HouseholdSettings, generate_game, generate_games
from skill0.envs.alfworld.procedures import (
    FAMILIES,
    OPEN_PLACES,
    PLACES,
    SERVED,
    chance,
    check_procedure,
    generate_procedure,
    sample_procedure,
    word_choices,
)
from skill0.errors import ConfigError
from skill0.skills import bank_from_convention
from skill0.training.searching_expert import facts_of

PROCEDURE = HouseholdSettings(kind="procedure")
SEEDS = st.integers(0, 2**32 - 1)
AFTER = {"sinkbasin": "Clean", "microwave": "Hot", "fridge": "Cool"}


def final_state(appliances: list[str]) -> set[str]:
    state: set[str] = set()
    for appliance in appliances:
        state -= {"microwave": {"Cool"}, "fridge": {"Hot"}}.get(appliance, set())
        state.add(AFTER[appliance])
    return state


def words_and_recipient(instruction: str) -> tuple[list[str], str, str]:
    match = re.fullmatch(r"bring a (.+) (\w+) to the (\w+)\.", instruction)
    assert match is not None
    return match[1].split(" and "), match[2], match[3]


@settings(max_examples=150, deadline=None)
@given(SEEDS, SEEDS, st.sampled_from(PROCEDURE_TASK_TYPES))
def test_the_goal_is_what_the_convention_makes_of_the_instruction(seed, convention_seed, task_type):
    convention = sample_procedure(convention_seed)
    game = generate_game(task_type, seed, PROCEDURE, convention)
    words, target, recipient = words_and_recipient(game.instruction)
    family, _, form = task_type.partition("_")
    assert set(words) < set(FAMILIES[family].words)
    assert recipient in FAMILIES[family].recipients

    goal = game.problem.partition("(:goal")[2]
    wanted = final_state([convention[word] for word in words])
    assert set(re.findall(r"[^t] \(is(\w+) ", goal)) == wanted
    assert set(re.findall(r"\(not \(is(\w+) ", goal)) == {"Clean", "Hot", "Cool"} - wanted
    assert re.findall(r"objectType \?o (\w+)Type", goal)[0].lower() == target
    assert re.findall(r"receptacleType \?r (\w+)Type", goal)[0].lower() == convention[recipient]
    # One word, one state; two words, two; of heating and cooling the last.
    assert len(wanted) == (2 if form == "two_words" else 1)
    if form == "last_word":
        assert {convention[word] for word in words} == {"microwave", "fridge"}
        assert wanted == {AFTER[convention[words[-1]]]}


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.sampled_from(PROCEDURE_TASK_TYPES))
def test_the_target_stands_alone_of_its_kind_and_in_sight(seed, task_type):
    convention = sample_procedure(seed)
    household, _ = generate_procedure(task_type, seed, PROCEDURE, convention)
    kinds = Counter(item.kind for item in household.items)
    assert kinds[household.goal.target] == 1
    assert household.items[0].kind == household.goal.target
    for item in household.items:
        if item.kind in SERVED:
            assert item.place.kind == convention["things"]
            assert not item.place.openable
    assert 9 <= len(household.receptacles) <= 10
    assert household.items[0].place.kind != household.goal.destination


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_sampled_conventions_are_possible_and_vary(seed):
    convention = sample_convention(seed, PROCEDURE)
    check_procedure(convention)
    assert convention == sample_procedure(seed)
    assert list(convention) == sorted(convention) == list(options(PROCEDURE))
    assert all(value in options(PROCEDURE)[key] for key, value in convention.items())
    assert len({sample_procedure(seed + step)["festive"] for step in range(40)}) == 3
    assert convention["things"] in OPEN_PLACES


def test_every_key_belongs_to_one_family():
    keys = [key for family in FAMILIES.values() for key in (*family.words, *family.recipients)]
    assert len(keys) == len(set(keys)) == 20
    assert tuple(FAMILIES) == PROCEDURE_FAMILIES
    # Words of one token each, that say nothing of what they stand for.
    assert all(re.fullmatch("[a-z]{4,9}", key) for key in keys)


def test_games_take_the_task_types_in_turn_and_are_the_same_every_time():
    games = generate_games(36, 7, PROCEDURE)
    assert [game.task_type for game in games] == list(PROCEDURE_TASK_TYPES) * 3
    assert generate_games(13, 7, PROCEDURE) == games[:13]
    assert len({tuple(game.convention.items()) for game in games}) == 36
    assert len({(game.instruction, game.problem) for game in games}) == 36
    convention = sample_procedure(0)
    made = [
        (game.instruction, game.problem)
        for split in ("train", "validation")
        for game in generate_games(200, 7, PROCEDURE, convention, split=split)
    ]
    assert len(set(made)) == 400


def test_every_form_has_words_in_every_convention():
    for seed in range(20):
        convention = sample_procedure(seed)
        numbers = Counter()
        for task_type in PROCEDURE_TASK_TYPES:
            numbers[task_type.partition("_")[2]] += len(word_choices(task_type, convention))
        # A family's three words are clean, heat and cool: 3 single ones, 4 ordered pairs with the one that
        # cleans, 2 of the other two; four families.
        assert numbers == {"one_word": 12, "two_words": 16, "last_word": 8}


def test_chance_of_one_guess():
    """One word: 1/3 for the appliance, 1/5 for the place. Two words that last: of the 6 ordered pairs of
    appliances 2 clean and heat and 2 clean and cool: 1/3 and 1/5. Last word: 1 pair ends hot, 1 cool."""
    assert len(PLACES) == 6
    for family in PROCEDURE_FAMILIES:
        found = [chance(f"{family}_{form}") for form in PROCEDURE_FORMS]
        assert found == pytest.approx([1 / 15, 1 / 15, 1 / 30])


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(PROCEDURE_TASK_TYPES))
def test_the_files_of_a_task_type_tell_all_that_its_instruction_needs(seed, task_type):
    convention = sample_procedure(seed)
    bank = bank_from_convention(convention, targets(PROCEDURE))
    assert bank.names == ("general", *PROCEDURE_FAMILIES)
    told = facts_of(file for file in bank if file.declares(task_type))
    _, text = generate_procedure(task_type, seed, PROCEDURE, convention)
    words, _, recipient = words_and_recipient(text)
    for key in (*words, recipient, "things"):
        assert told[key] == convention[key]
    # What a fact of the convention stands for is never told by two files.
    assert {key: value for key, value in facts_of(bank).items() if key in convention} == convention


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"festive": "shelf"}, "'festive' cannot stand for 'shelf', only for sinkbasin, microwave, fridge"),
        ({"guests": "fridge"}, "'guests' cannot stand for 'fridge'"),
        ({"mug": "shelf"}, "needs exactly the keys of sample_procedure; look at: mug"),
    ],
)
def test_impossible_conventions(change, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_procedure({**sample_procedure(0), **change})


def test_words_of_a_family_stand_for_different_things():
    convention = sample_procedure(0)
    with pytest.raises(
        ConfigError, match="festive, grand, merry of the party must stand for different things"
    ):
        check_procedure({**convention, "festive": convention["merry"]})
    with pytest.raises(ConfigError, match="captain, elders, things of the parlour"):
        check_procedure({**convention, "captain": convention["things"]})
    with pytest.raises(ConfigError, match="needs exactly the keys"):
        generate_game("party_one_word", 0, PROCEDURE)


def test_a_recipe_names_the_kind_and_gets_its_task_types():
    read = TypeAdapter(HouseholdSettings).validate_python({"kind": "procedure"})
    assert read == PROCEDURE
    assert read.task_types == PROCEDURE_TASK_TYPES
    assert HouseholdSettings().task_types == TASK_TYPES
    # What is written down for a run names them, and reads back as the same.
    assert TypeAdapter(HouseholdSettings).validate_python(asdict(read)) == PROCEDURE
