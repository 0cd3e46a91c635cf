"""The expert for official games: usual places first, shared places, and demonstrations on real games."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from skill0.agent import AgentSettings, EpisodeState, PastTurn
from skill0.context import PageStyle
from skill0.envs import EnvPool, Observation, Task
from skill0.envs.alfworld.status import REFUSED
from skill0.skills import SkillBank, group_by_relevance
from skill0.training.demonstrations import DemonstrationSettings
from skill0.training.official_demonstrations import (
    collect_official_demonstrations,
    official_names,
    slips,
)
from skill0.training.official_expert import OfficialExpert, usual_places

ROOT = Path(__file__).parents[2]

INTRO = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a coffeemachine 1, "
    "a countertop 1, a countertop 2, a fridge 1, a shelf 1, a sinkbasin 1, a sofa 1, and a toaster 1."
)
MUG = "put a mug in shelf."
CLEAN_MUG = "put a clean mug in shelf."
CLEAN = "pick_clean_then_place_in_recep"


def choose(
    *events: tuple[str, str],
    instruction: str = MUG,
    task_type: str = "pick_and_place_simple",
    admissible: tuple[str, ...] = (),
):
    """The choice after `events`: actions, each with the observation it led to; the last one is current."""
    seen = [INTRO, *(observation for _, observation in events)]
    history = tuple(PastTurn(seen[n], action) for n, (action, _) in enumerate(events))
    task = Task("t", "alfworld", task_type, instruction)
    state = EpisodeState(task, Observation(seen[-1], instruction, admissible), len(events), history)
    return OfficialExpert().choose(state, seed=0)


def looked(*places: str) -> list[tuple[str, str]]:
    return [(f"go to {name}", f"You arrive at {name}. On the {name}, you see nothing.") for name in places]


def test_places_are_ranked_by_what_a_step_of_searching_finds():
    """Train games had more mugs in cabinets than in fridges, but a kitchen has many cabinets, one fridge."""
    ranked = usual_places("mug")
    assert ranked[:2] == ("coffeemachine", "countertop")
    assert ranked.index("fridge") < ranked.index("cabinet")
    assert "sofa" not in ranked
    assert usual_places("no such thing") == ()


def test_the_search_goes_through_the_usual_places_and_names_the_kind():
    assert choose().reply == "<think>mug: coffeemachine</think><action>go to coffeemachine 1</action>"
    second = choose(*looked("coffeemachine 1"))
    assert (second.reason, second.among) == ("countertop", ("countertop 1", "countertop 2"))
    assert choose(*looked("coffeemachine 1", "countertop 1")).action == "go to countertop 2"


def test_last_comes_what_no_train_game_had():
    usual = ("coffeemachine 1", "countertop 1", "countertop 2", "fridge 1", "sinkbasin 1", "cabinet 1")
    last = choose(*looked(*usual))
    assert last.reason == "anywhere"
    assert set(last.among) == {"sofa 1"}  # a toaster holds nothing, and a mug at its goal needs no bringing


def test_what_is_to_be_cleaned_may_lie_at_its_goal_or_in_the_basin_but_seldom_does():
    """So these places come after the other usual ones, and before "anywhere"."""
    usual = ("coffeemachine 1", "countertop 1", "countertop 2", "fridge 1", "cabinet 1")
    clean = {"instruction": CLEAN_MUG, "task_type": CLEAN}
    assert choose(*looked(*usual), **clean).reason == "shelf"
    assert choose(*looked(*usual, "shelf 1"), **clean).reason == "sinkbasin"


def test_what_shares_this_place_is_looked_at_from_elsewhere():
    """At the coffee machine "go to countertop 1" is refused: the counter is here. Other kinds come first."""
    refused = (*looked("coffeemachine 1"), ("go to countertop 1", REFUSED))
    assert choose(*refused).action == "go to fridge 1"
    later = (*refused, *looked("fridge 1"))
    assert choose(*later).action == "go to countertop 1"


def test_a_thing_is_put_where_one_stands_beside():
    """The shelf shares the toaster's place, so it cannot be gone to, but things can be put there."""
    take = ("take mug 1 from countertop 1", "You pick up the mug 1 from the countertop 1.")
    held = (
        ("go to countertop 1", "You arrive at countertop 1. On the countertop 1, you see a mug 1."),
        take,
        *looked("toaster 1"),
    )
    assert choose(*held).action == "go to shelf 1"
    refused = (*held, ("go to shelf 1", REFUSED))
    assert choose(*refused, admissible=("move mug 1 to shelf 1",)).action == "move mug 1 to shelf 1"
    assert choose(*refused).action.startswith("go to "), "without that command: come back from elsewhere"


def test_going_where_one_stands_says_nothing_about_shared_places():
    here = looked("countertop 1")
    again = choose(*here, ("go to countertop 1", REFUSED))
    assert again.action == choose(*here).action


def test_things_are_brought_where_the_prompt_tells_a_place():
    """The first cabinet was looked into, and so is told no more; the second is as good."""
    taken = ("take mug 1 from countertop 1", "You pick up the mug 1 from the countertop 1.")
    events = (*looked("countertop 1"), taken, *looked("sofa 1"))
    assert choose(*events, instruction="put a mug in countertop.").action == "go to countertop 2"


def test_slips_are_commands_that_the_engine_refuses():
    def state(*events: tuple[str, str], admissible: tuple[str, ...]) -> EpisodeState:
        seen = [INTRO, *(observation for _, observation in events)]
        history = tuple(PastTurn(seen[n], action) for n, (action, _) in enumerate(events))
        task = Task("t", "alfworld", CLEAN, CLEAN_MUG)
        return EpisodeState(task, Observation(seen[-1], CLEAN_MUG, admissible), len(events), history)

    counter = ("go to countertop 1", "You arrive at countertop 1. On the countertop 1, you see a mug 1.")
    found = slips(state(counter, admissible=("take mug 1 from countertop 1", "go to fridge 1")))
    assert {"go to countertop 1", "open fridge 1", "take mug 2 from countertop 1"} & set(found)
    assert "take mug 1 from countertop 1" not in found
    taken = ("take mug 1 from countertop 1", "You pick up the mug 1 from the countertop 1.")
    held = slips(state(counter, taken, admissible=("go to fridge 1",)))
    assert {"move mug 1 to shelf 1", "heat mug 1 with microwave 1"} <= set(held)


def test_a_vocabulary_for_all_games_knows_what_no_demonstration_shows():
    names = official_names()
    assert {"cabinet 27", "drawer 27", "mug 5", "desklamp 5"} <= set(names), "the highest numbers"
    assert list(names) == sorted(names, key=lambda name: name.rpartition(" ")[0])


@pytest.fixture(scope="module")
def games(shared_data: Path):
    if util.find_spec("alfworld") is None or util.find_spec("textworld") is None:
        pytest.skip("needs the extra 'alfworld'")
    from skill0.envs.alfworld import load_games
    from skill0.training.world import spread

    # The first sixty are in one list: reading all 3553 takes seconds.
    return spread(load_games(shared_data / "alfworld", "train", limit=60), 6, seed=1)


@pytest.mark.integration
def test_demonstrations_on_train_games_are_won_with_and_without_skills(games):
    from skill0.envs.alfworld import AlfWorldEnvFactory, tasks_from

    agent = AgentSettings(
        template="household",
        style=PageStyle("7x14", 168, 14),
        history_in="none",
        skill_form="brief",
    )
    bank = SkillBank.load(ROOT / "skills" / "alfworld")
    grouping = group_by_relevance(bank, tasks_from(games))
    settings = DemonstrationSettings(games=6, detours=0.2, max_steps=50)
    with EnvPool(AlfWorldEnvFactory(max_steps=50)) as pool:
        shown = collect_official_demonstrations(games, settings, agent, pool, bank, grouping)
    assert sum(shown.won.values()) >= 16  # of 18
    assert dict(shown.played) == {"all": 6, "some": 6, "none": 6}
    arms = {episode.trajectory.arm for episode in shown.episodes}
    assert () in arms
    assert all(set(arm) <= set(bank.names) for arm in arms)
    assert "cabinet 1" in shown.lexicon()
    # A detour is played and not imitated.
    wrong = [
        turn.action != choice.action
        for episode in shown.episodes
        for turn, choice in zip(episode.trajectory.turns, episode.choices, strict=True)
    ]
    assert 0.05 < sum(wrong) / len(wrong) < 0.4


@pytest.mark.integration
def test_the_benchmark_prints_expert_and_random(shared_data: Path, games, tmp_path: Path):
    script, store = ROOT / "benchmarks" / "official_games.py", shared_data / "alfworld"
    command = [sys.executable, str(script), str(store), "--split", "train", "--limit", "2"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "report.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    arms = json.loads((tmp_path / "report.json").read_text())["arms"]
    assert arms["expert"]["summary"]["success"]["successes"] == 2
    assert arms["random"]["summary"]["success"]["tasks"] == 2
