"""The arms of the reading check: each a small function of a game, or of the prompts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib import util

import pytest

from skill0.agent import AgentSettings, ScriptedPolicy
from skill0.context import PageStyle
from skill0.errors import ConfigError
from skill0.training.reading_check import (
    as_text,
    half_of_files,
    in_cell,
    no_files,
    reading_arm,
    reading_check,
    right_files,
    shuffled_lines,
    wrong_files,
)
from skill0.training.searching_expert import facts_of
from skill0.training.taught_worlds import HOUSEHOLDS, HouseholdWorld

pytestmark = pytest.mark.skipif(util.find_spec("alfworld") is None, reason="needs the extra 'alfworld'")

AGENT = AgentSettings(
    template="household", style=PageStyle("7x14", 168, 14), history_in="none", skill_form="brief", max_steps=2
)


@pytest.fixture(scope="module")
def games():
    from skill0.envs.alfworld import generate_games

    return generate_games(24, seed=5, convention=None, split="tests")


def test_the_right_files_tell_where_the_target_is_kept_and_the_wrong_ones_another_place(games):
    for game in games:
        right, wrong = facts_of(right_files(game, HOUSEHOLDS)), facts_of(wrong_files(game, HOUSEHOLDS))
        assert right.keys() == wrong.keys()
        told = [kind for kind in right if kind in game.convention]
        assert told
        assert all(right[kind] == game.convention[kind] != wrong[kind] for kind in told)


def test_a_wrong_page_of_procedure_gives_every_word_another_meaning():
    from skill0.envs.alfworld import HouseholdSettings
    from skill0.envs.alfworld.procedures import check_procedure

    world = HouseholdWorld(HouseholdSettings(kind="procedure"))
    for game in world.games(4, 5, split="tests"):
        wrong = world.wrong(game)
        check_procedure(wrong)
        assert all(wrong[word] != meaning for word, meaning in game.convention.items())
        right, told = facts_of(right_files(game, world)), facts_of(wrong_files(game, world))
        assert sum(right[word] != told[word] for word in right) >= 3


def test_no_files_is_a_blank_page(games):
    assert no_files(games[0], HOUSEHOLDS) == ()


def test_half_of_two_files_is_one_of_them_now_this_and_now_that(games):
    """Every task is served by a general file and one of its own; only the latter tells where things are."""
    kept = [half_of_files(game, HOUSEHOLDS) for game in games]
    assert [len(files) for files in kept] == [len(HOUSEHOLDS.skills(game)) // 2 for game in games]
    general = Counter(files[0].name == "general" for files in kept)
    assert min(general[True], general[False]) >= 6
    assert kept == [half_of_files(game, HOUSEHOLDS) for game in games]


def test_shuffled_lines_say_the_same_in_another_order(games):
    moved = 0
    for game in games:
        files, shuffled = HOUSEHOLDS.skills(game), shuffled_lines(game, HOUSEHOLDS)
        assert facts_of(files) == facts_of(shuffled)
        assert {f.name for f in files} == {f.name for f in shuffled}
        moved += [s for f in files for s in f.skills] != [s for f in shuffled for s in f.skills]
    assert moved == len(games)


def test_text_and_other_cells_change_the_prompts_alone():
    assert as_text(AGENT) == replace(AGENT, skills_in="text")
    assert in_cell("6x12")(AGENT).style == PageStyle("6x12", 168, 14)
    assert reading_arm("5x10").prompts(AGENT).style.cell == "5x10"
    assert reading_arm("right").prompts(AGENT) == AGENT


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (("right", "sideways"), "'sideways' is no arm.*right, blank, wrong, half, shuffled, text, .*6x12"),
        ((), "at least one arm"),
        (("right", "right"), "each once"),
    ],
)
def test_arms_that_make_no_sense_are_refused(games, arms, message):
    with pytest.raises(ConfigError, match=message):
        reading_check(ScriptedPolicy(lambda item: ""), games, AGENT, None, arms=arms)  # type: ignore[arg-type]


@pytest.mark.integration
def test_every_arm_shows_what_it_says(games):
    """A policy that writes down what it is shown: the page's cell, whether there is a page, what it says."""
    from skill0.envs import EnvPool
    from skill0.envs.alfworld import AlfWorldEnvFactory

    seen: list[tuple[str, int, bool]] = []

    def reply(item) -> str:
        cell = "none" if item.page is None else item.page.style.cell
        seen.append((cell, 0 if item.page is None else len(item.page.ids), "sinkbasin" in item.text))
        return "<think>x</think><action>look</action>"

    some = [game for game in games if game.task_type == "pick_clean_then_place_in_recep"][:2]
    with EnvPool(AlfWorldEnvFactory(max_steps=2), workers=0) as pool:
        arms = ("right", "blank", "text", "6x12", "half")
        found = reading_check(ScriptedPolicy(reply), some, AGENT, pool, arms=arms)
    assert [arm.name for arm in found.arms] == [
        "right page", "blank page", "skills as text", "cell 6x12", "half of the files", "random",
        "blind expert",
    ]  # fmt: skip
    # Two games of two turns each.
    right, blank, text, cell, half = (seen[start : start + 4] for start in range(0, 20, 4))
    assert {(what, rows > 1) for what, rows, _ in right} == {("7x14", True)}
    assert {rows for _, rows, _ in blank} == {0}
    assert {(what, told) for what, _, told in text} == {("none", True)}
    assert {(what, rows > 1) for what, rows, _ in cell} == {("6x12", True)}
    assert max(rows for _, rows, _ in half) < min(rows for _, rows, _ in right)
    assert found.episodes == 2 * len(found.arms)
    assert found["right page"].outcomes[0].skills == ("general", "clean")
