"""The expert of procedure: what it takes from texts, what it decides, and how often it wins in the engine."""

from __future__ import annotations

from importlib import util

import pytest

from skill0.agent import EpisodeState, PastTurn, PolicyInput, Sampling, parse_reply
from skill0.envs import Observation, Task
from skill0.errors import PolicyError
from skill0.skills import Skill, SkillFile
from skill0.training.procedure_expert import Errand, ProcedureExpert, parse_errand

INTRO = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a countertop 1, "
    "a desk 1, a fridge 1, a microwave 1, a shelf 1, a sidetable 1, and a sinkbasin 1."
)
ONE = "bring a festive mug to the guests."
TWO = "bring a festive and merry mug to the guests."
FOUND = ("go to desk 1", "You arrive at desk 1. On the desk 1, you see a apple 1, and a mug 1.")
TAKEN = ("take mug 1 from desk 1", "You pick up the mug 1 from the desk 1.")
AT_FRIDGE = ("go to fridge 1", "You arrive at fridge 1. The fridge 1 is closed.")
COOLED = ("cool mug 1 with fridge 1", "You cool the mug 1 using the fridge 1.")
AT_SHELF = ("go to shelf 1", "You arrive at shelf 1. On the shelf 1, you see nothing.")
MOVED = ("move mug 1 to shelf 1", "You move the mug 1 to the shelf 1.")
BACK = ("take mug 1 from shelf 1", "You pick up the mug 1 from the shelf 1.")
HANDY = ("cool mug 1 with fridge 1", "move mug 1 to shelf 1")


def state(instruction: str, *events: tuple[str, str], skills: tuple[SkillFile, ...] = ()):
    """A state after `events`: actions, each with the observation it led to; the last one is current."""
    seen = [INTRO, *(observation for _, observation in events)]
    history = tuple(PastTurn(seen[n], action) for n, (action, _) in enumerate(events))
    task = Task("t", "alfworld", "party_one_word", instruction)
    return EpisodeState(task, Observation(seen[-1], instruction, HANDY), len(events), history, skills)


def choose(facts: dict[str, str], *arguments, seed: int = 0):
    return ProcedureExpert(facts).choose(state(*arguments), seed)


@pytest.mark.parametrize(
    ("instruction", "errand"),
    [
        (ONE, Errand(("festive",), "mug", "guests")),
        (
            "bring a sturdy and humble egg to the neighbour.",
            Errand(("sturdy", "humble"), "egg", "neighbour"),
        ),
    ],
)
def test_errands_are_read_from_instructions(instruction, errand):
    assert parse_errand(instruction) == errand


def test_other_instructions_are_refused():
    with pytest.raises(PolicyError, match="cannot read the instruction 'put a mug in cabinet"):
        parse_errand("put a mug in cabinet.")


def test_a_reader_chains_the_facts_of_its_page():
    """Where things stand, the word's appliance, the recipient's place; each thought names its fact."""
    told = ("things: desk", "festive: fridge", "guests: shelf")
    page = (SkillFile("party", "The party", tuple(Skill(brief, "", "", brief) for brief in told)),)
    events = [FOUND, TAKEN, AT_FRIDGE, COOLED, AT_SHELF]
    replies = []
    for number in range(6):
        known = state(ONE, *events[:number], skills=page)
        replies.append(ProcedureExpert().choose(known, seed=number))
    assert [(choice.key, choice.reason, choice.action) for choice in replies] == [
        ("things", "desk", "go to desk 1"),
        ("mug", "here", "take mug 1 from desk 1"),
        ("festive", "fridge", "go to fridge 1"),
        ("festive", "fridge", "cool mug 1 with fridge 1"),
        ("guests", "shelf", "go to shelf 1"),
        ("guests", "shelf", "move mug 1 to shelf 1"),
    ]
    assert all(parse_reply(choice.reply, require_think=True).action == choice.action for choice in replies)


def test_two_words_are_followed_in_their_order():
    facts = {"festive": "fridge", "merry": "sinkbasin", "guests": "shelf"}
    assert choose(facts, TWO, FOUND, TAKEN).action == "go to fridge 1"
    assert choose(facts, TWO, FOUND, TAKEN, AT_FRIDGE, COOLED).action == "go to sinkbasin 1"


def test_a_treatment_that_the_next_would_undo_is_left_out():
    facts = {"festive": "microwave", "merry": "fridge", "guests": "shelf"}
    choice = choose(facts, TWO, FOUND, TAKEN)
    assert (choice.key, choice.action) == ("merry", "go to fridge 1")
    assert choose(facts, TWO, FOUND, TAKEN, AT_FRIDGE, COOLED).action == "go to shelf 1"


def test_a_thing_in_sight_is_taken_without_any_fact():
    assert choose({}, ONE, FOUND).action == "take mug 1 from desk 1"
    # Seen on the way, it is gone back to.
    assert choose({}, ONE, FOUND, AT_SHELF).action == "go to desk 1"


def test_a_blind_expert_searches_where_things_may_stand():
    choices = [choose({}, ONE, seed=seed) for seed in range(40)]
    assert {choice.action for choice in choices} == {
        *(f"go to {name} 1" for name in ("cabinet", "countertop", "desk", "shelf", "sidetable"))
    }
    assert len(choices[0].among) == 5
    assert choices[0].reason == "anywhere"


def test_guesses_are_carried_out_once_walked_to():
    """With an untreated thing at an appliance, a blind expert uses it; then it delivers."""
    walks = {choose({}, ONE, FOUND, TAKEN, seed=seed).action for seed in range(40)}
    assert walks == {"go to fridge 1", "go to microwave 1", "go to sinkbasin 1"}
    for seed in range(10):
        assert choose({}, ONE, FOUND, TAKEN, AT_FRIDGE, seed=seed).action == "cool mug 1 with fridge 1"
        treated = (ONE, FOUND, TAKEN, AT_FRIDGE, COOLED)
        assert choose({}, *treated, AT_SHELF, seed=seed).action == "move mug 1 to shelf 1"
    places = {choose({}, *treated, seed=seed).action for seed in range(40)}
    # Not the desk: it is where things stand.
    assert places == {f"go to {name} 1" for name in ("cabinet", "countertop", "shelf", "sidetable")}


def test_what_was_brought_in_vain_is_not_tried_again():
    tried = (ONE, FOUND, TAKEN, AT_FRIDGE, COOLED, AT_SHELF, MOVED)
    assert choose({}, *tried).action == "take mug 1 from shelf 1"
    for seed in range(20):
        action = choose({}, *tried, BACK, seed=seed).action
        assert action in {f"go to {name} 1" for name in ("cabinet", "countertop", "sidetable")}
    # Known to be for the shelf, it must have been the wrong appliance.
    actions = {choose({"guests": "shelf"}, *tried, BACK, seed=seed).action for seed in range(20)}
    assert actions == {"go to microwave 1"}  # never to the basin: what is cool would stay cool


def test_the_same_state_and_seed_give_the_same_reply():
    asked = [PolicyInput("", "", None, seed=3, state=state(ONE, FOUND, TAKEN)) for _ in range(2)]
    first, second = ProcedureExpert().generate(asked, Sampling())
    assert first == second
    assert first.text.startswith("<think>festive")


@pytest.mark.integration
@pytest.mark.skipif(
    util.find_spec("alfworld") is None or util.find_spec("textworld") is None,
    reason="needs the extra 'alfworld'",
)
def test_knowing_wins_and_guessing_does_not():
    """36 households with a convention each. One guess wins in 1/15 or 1/30 of them, see `chance`."""
    from skill0.agent import AgentLoop, AgentSettings, RolloutGroup
    from skill0.envs import EnvPool
    from skill0.envs.alfworld import AlfWorldEnvFactory, HouseholdSettings, generate_games
    from skill0.training.taught_worlds import HouseholdWorld

    households = HouseholdSettings(kind="procedure")
    games = generate_games(36, 21, households)
    limit = 11  # the longest plan is 9 steps
    agent = AgentSettings(skills_in="none", history_in="none", max_steps=limit)
    with EnvPool(AlfWorldEnvFactory(max_steps=limit)) as pool:
        loop = AgentLoop(ProcedureExpert(), pool, agent)
        shares = []
        for skilled in (True, False):
            groups = [
                RolloutGroup(game.as_task(), 1, HouseholdWorld(households).skills(game) if skilled else ())
                for game in games
            ]
            won = [trajectory.succeeded for trajectory in loop.run(groups, Sampling(temperature=0.0), seed=5)]
            shares.append(sum(won) / len(won))
    informed, blind = shares
    assert informed >= 0.95
    assert blind <= 0.2
