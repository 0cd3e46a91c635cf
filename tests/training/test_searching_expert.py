"""The scripted expert: what it takes from texts alone, and what it decides."""

from __future__ import annotations

import pytest

from skill0.agent import EpisodeState, PastTurn, PolicyInput, Sampling, parse_reply
from skill0.envs import Observation, Task
from skill0.errors import PolicyError
from skill0.skills import Skill, SkillFile
from skill0.training.searching_expert import Goal, SearchingExpert, facts_of, parse_goal, remember

INTRO = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 2, a cabinet 1, "
    "a fridge 1, a microwave 1, and a shelf 1."
)
HEAT = "pick_heat_then_place_in_recep"


def state(
    instruction: str, *events: tuple[str, str], task_type: str = HEAT, admissible: tuple[str, ...] = ()
):
    """A state after `events`: actions, each with the observation it led to; the last one is current."""
    seen = [INTRO, *(observation for _, observation in events)]
    history = tuple(PastTurn(seen[n], action) for n, (action, _) in enumerate(events))
    task = Task("t", "alfworld", task_type, instruction)
    return EpisodeState(task, Observation(seen[-1], instruction, admissible), len(events), history)


@pytest.mark.parametrize(
    ("instruction", "goal"),
    [
        ("put some creditcard on sidetable.", Goal("creditcard", "sidetable")),
        ("put a mug in coffeemachine.", Goal("mug", "coffeemachine")),
        ("clean some ladle and put it in diningtable.", Goal("ladle", "diningtable")),
        ("put a hot mug in cabinet.", Goal("mug", "cabinet")),
        ("put a cool apple in garbagecan.", Goal("apple", "garbagecan")),
        ("find two pencil and put them in drawer.", Goal("pencil", "drawer")),
        ("put two spatula in drawer.", Goal("spatula", "drawer")),
        ("look at vase under the desklamp.", Goal("vase", "desklamp")),
        ("examine the book with the desklamp.", Goal("book", "desklamp")),
    ],
)
def test_goals_are_read_from_the_templated_instructions(instruction, goal):
    assert parse_goal(instruction) == goal


def test_an_instruction_in_other_words_is_an_error_that_quotes_it():
    with pytest.raises(PolicyError, match="tidy the kitchen"):
        parse_goal("Would you tidy the kitchen")


def test_facts_are_the_briefs_that_name_a_thing_and_a_place():
    file = SkillFile(
        "heat",
        "Heating",
        (
            Skill("Mug", "The mug is kept in a cabinet.", brief="mug: cabinet"),
            Skill("Two", "Both into the same.", brief="two: same place"),
            Skill("Open", "Open what is closed."),
        ),
    )
    assert facts_of([file]) == {"mug": "cabinet"}


def test_memory_follows_the_episode():
    memory = remember(
        state(
            "heat some mug and put it in shelf.",
            ("go to cabinet 1", "You arrive at cabinet 1. The cabinet 1 is closed."),
            (
                "open cabinet 1",
                "You open the cabinet 1. The cabinet 1 is open. In it, you see a mug 2, and a plate 1.",
            ),
            ("take mug 2 from cabinet 1", "You pick up the mug 2 from the cabinet 1."),
            ("go to microwave 1", "You arrive at microwave 1. The microwave 1 is closed."),
            ("heat mug 2 with microwave 1", "You heat the mug 2 using the microwave 1."),
        )
    )
    assert memory.at == "microwave 1"
    assert memory.holding == "mug 2"
    assert memory.treated == {"mug 2"}
    assert memory.closed == {"microwave 1"}
    assert memory.contents == {"cabinet 1": ["plate 1"]}


def choose(known: dict[str, str], *arguments, seed: int = 0, **options) -> str:
    return SearchingExpert(known).choose(state(*arguments, **options), seed).action


def test_knowing_where_it_is_kept_the_expert_goes_there_in_order():
    mug = {"mug": "cabinet"}
    assert choose(mug, "put a hot mug in shelf.") == "go to cabinet 1"
    empty = ("go to cabinet 1", "You arrive at cabinet 1. On the cabinet 1, you see nothing.")
    assert choose(mug, "put a hot mug in shelf.", empty) == "go to cabinet 2"


def test_a_closed_place_is_opened_if_the_object_may_be_in_it():
    closed = ("go to cabinet 1", "You arrive at cabinet 1. The cabinet 1 is closed.")
    commands = ("open cabinet 1", "go to cabinet 2")
    assert (
        choose({"mug": "cabinet"}, "put a hot mug in shelf.", closed, admissible=commands) == "open cabinet 1"
    )
    # Known to be kept in the fridge: no need to look into the cabinet.
    assert (
        choose({"mug": "fridge"}, "put a hot mug in shelf.", closed, admissible=commands) == "go to fridge 1"
    )


def test_the_blind_search_tries_every_place_but_the_goals_own_by_the_seed():
    drawn = {choose({}, "put a hot mug in shelf.", seed=seed) for seed in range(60)}
    assert drawn == {f"go to {place}" for place in ("cabinet 1", "cabinet 2", "fridge 1")}
    assert choose({}, "put a hot mug in shelf.", seed=3) == choose({}, "put a hot mug in shelf.", seed=3)


def test_places_where_nothing_is_kept_come_last():
    visited = [
        (f"go to {p}", f"You arrive at {p}. On the {p}, you see nothing.")
        for p in ("cabinet 1", "cabinet 2", "fridge 1")
    ]
    assert choose({}, "put a hot mug in shelf.", *visited) == "go to microwave 1"


def test_the_thought_says_why():
    """What is here is taken, what was seen is gone for, what is closed is opened; only then one searches."""

    def thought(*events: tuple[str, str], admissible: tuple[str, ...] = ()) -> str:
        choice = SearchingExpert().choose(
            state("put a hot mug in shelf.", *events, admissible=admissible), seed=0
        )
        return f"{choice.key} {choice.reason}: {choice.action}"

    closed = ("go to cabinet 1", "You arrive at cabinet 1. The cabinet 1 is closed.")
    opened = ("open cabinet 1", "You open the cabinet 1. The cabinet 1 is open. In it, you see a mug 2.")
    left = ("go to fridge 1", "You arrive at fridge 1. The fridge 1 is closed.")
    assert thought().startswith("mug anywhere: go to ")
    assert thought(closed, admissible=("open cabinet 1",)) == "mug closed: open cabinet 1"
    take = "take mug 2 from cabinet 1"
    assert thought(closed, opened, admissible=(take,)) == f"mug here: {take}"
    assert thought(closed, opened, left, admissible=("open fridge 1",)) == "mug seen: go to cabinet 1"


def test_a_blind_choice_says_what_it_was_drawn_from():
    choice = SearchingExpert().choose(state("put a hot mug in shelf."), seed=0)
    assert choice.among == ("cabinet 1", "cabinet 2", "fridge 1")
    assert choice.action.removeprefix("go to ") in choice.among


def test_replies_name_key_and_place_and_are_valid():
    item = PolicyInput("", "", None, seed=1, state=state("put a hot mug in shelf."))
    expert = SearchingExpert({"mug": "fridge"})
    (output,) = expert.generate([item], Sampling())
    assert output.text == "<think>mug: fridge</think><action>go to fridge 1</action>"
    assert parse_reply(output.text, admissible=["go to fridge 1"]).valid


def test_the_blank_inputs_that_pad_a_call_get_an_empty_reply():
    (output,) = SearchingExpert().generate([PolicyInput("", "", None)], Sampling())
    assert output.text == ""
