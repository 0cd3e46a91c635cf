"""Lessons from official games: the verb has a mark, and names change while marks stand."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from classroom import TINY

from skill0.agent import AgentSettings, PolicyInput, Trajectory
from skill0.context import ContextRenderer, PageStyle
from skill0.envs import Task
from skill0.policy import PromptEncoder, build_tiny_policy, lexicon_from_texts
from skill0.training.demonstrations import VERB_PHRASES, Demonstration, Demonstrations
from skill0.training.official_demonstrations import official_names
from skill0.training.official_lessons import OfficialLessonWriter, Renaming
from skill0.training.searching_expert import HERE, Choice, kind
from skill0.training.timetable import Timetable
from skill0.training.warmup import WarmupSettings

AGENT = AgentSettings(
    template="official", style=PageStyle("7x14", 168, 14), history_in="none", skill_form="brief"
)
SEARCH = (
    "task: heat some mug and put it in shelf. | at: start | holding: nothing | "
    "unsearched: cabinet 1, cabinet 2, fridge 1, shelf 1"
)
TAKE = "task: put two mug in shelf. | at: cabinet 2 | here: egg 1, mug 3, mug 1 | holding: nothing"
CARRY = (
    "task: put a hot mug in shelf. | at: microwave 1 | here: closed | holding: mug 3 (hot) | "
    "unsearched: cabinet 1, shelf 2"
)
BACK = "task: clean some mug and put it in shelf. | at: shelf 1 | here: nothing | holding: mug 3"
TURNS = (
    (SEARCH, Choice("mug", "cabinet", "go to cabinet 1", ("cabinet 1", "cabinet 2"))),
    (TAKE, Choice("mug", HERE, "take mug 3 from cabinet 2")),
    (CARRY, Choice("put", "shelf", "go to shelf 2")),
    (BACK, Choice("clean", "sinkbasin", "go to sinkbasin 1")),
)


def episode() -> Demonstration:
    page = ContextRenderer().page([], AGENT.style)
    prompts = tuple(PolicyInput("", text, page) for text, _ in TURNS)
    task = Task("mug", "alfworld", "pick_heat_then_place_in_recep", "")
    return Demonstration(
        Trajectory(task, (), 0, (), "success"), prompts, tuple(choice for _, choice in TURNS), {}
    )


@pytest.fixture(scope="module")
def processor():
    texts = [*official_names(), *(text for text, _ in TURNS), *(choice.reply for _, choice in TURNS)]
    return build_tiny_policy(TINY, lexicon_from_texts(texts, VERB_PHRASES))[1]


@pytest.fixture(scope="module")
def lessons(processor):
    return OfficialLessonWriter(processor, PromptEncoder(processor), AGENT).action_lessons(episode())


def told(processor, lesson) -> str:
    ids = (*lesson.turn.prompt_ids, *lesson.turn.completion_ids)
    return processor.tokenizer.decode(ids, skip_special_tokens=True)


def spelled(processor, lesson) -> list[str]:
    ids = (*lesson.turn.prompt_ids, *lesson.turn.completion_ids)
    return [processor.tokenizer.decode([token]).strip() for token in ids]


def test_before_the_first_word_of_a_thought_attention_is_due_to_the_verb(processor, lessons):
    marked = []
    for lesson in lessons:
        tokens = spelled(processor, lesson)
        query, sources = lesson.sightings[-1]
        marked.append((tokens[query], tokens[query + 1], [tokens[place] for place in sources]))
    assert marked == [
        ("<think>", "mug", ["heat"]),
        ("<think>", "mug", ["<|im_start|>"]),  # "two" is no treatment: attention rests
        ("<think>", "put", ["hot", "hot"]),  # the task's, and what was done to the mug in hand
        ("<think>", "clean", ["clean"]),
    ]


def test_a_lesson_told_anew_has_other_numbers_in_the_same_order(processor, lessons):
    renaming, search = Renaming(processor.tokenizer), lessons[0]
    new = [renaming(search, random.Random(seed)) for seed in range(20)]
    assert len({told(processor, lesson) for lesson in new}) > 15
    for lesson in new:
        tokens = spelled(processor, lesson)
        first, second = (token for token in tokens[tokens.index("unsearched") :][2:5:2])
        assert [name.rpartition(" ")[0] for name in (first, second)] == ["cabinet", "cabinet"]
        assert int(first.split()[1]) < int(second.split()[1])
        assert f"go to {first}" in told(processor, lesson)
        assert lesson.choice is not None
        assert [processor.tokenizer.decode([token]) for token in lesson.choice[1]] == [first, second]
        assert "mug: cabinet" in told(processor, lesson), "where mugs are kept depends on their being mugs"


def test_where_nothing_depends_on_them_kinds_change_too(processor, lessons):
    """What is here is taken, whatever it is called; tools keep their names."""
    renaming = Renaming(processor.tokenizer)
    for lesson, seed in zip(lessons[1:] * 10, range(30), strict=True):
        before, after = spelled(processor, lesson), spelled(processor, renaming(lesson, random.Random(seed)))
        assert len(before) == len(after)
        same = dict(zip(before, after, strict=True))
        assert len(set(same.values())) == len(same), "two names never become one"
        assert all(new == same[old] for old, new in zip(before, after, strict=True)), "one name never two"
        assert ("sinkbasin 1" in before) == ("sinkbasin 1" in after), "named in the reply alone: number 1"
    kinds = {spelled(processor, renaming(lessons[1], random.Random(seed)))[-5] for seed in range(20)}
    assert len(kinds) > 5


def test_names_to_pass_on_are_kinds_and_numbered_names(processor):
    names = {processor.tokenizer.decode([token]) for token in Renaming(processor.tokenizer).names}
    assert {"sinkbasin", "sinkbasin 1", "mug"} <= names
    assert all(kind(name) in names or name.isalpha() for name in names)


def test_marks_stand(lessons, processor):
    new = Renaming(processor.tokenizer)(lessons[1], random.Random(0))
    ids = {"prompt_ids": new.turn.prompt_ids, "completion_ids": new.turn.completion_ids}
    assert new == replace(lessons[1], turn=replace(lessons[1].turn, **ids), choice=new.choice)


def test_names_that_are_as_good_are_a_free_choice(lessons, processor):
    """Either mug may be taken; there is one shelf to go to, and one mug in hand."""
    search, take, carry, back = lessons
    tokens = spelled(processor, take)
    query, options = take.choice
    assert tokens[query] == "take"
    assert [processor.tokenizer.decode([token]) for token in options] == ["mug 3", "mug 1"]
    (sources,) = (places for at, places in take.copies if at == query)
    assert [tokens[place] for place in sources] == ["mug 3", "mug 1"]
    assert not take.learned[query + 1 - len(take.turn.prompt_ids)]
    assert search.choice is not None, "a search has its own"
    assert carry.choice is back.choice is None


def test_where_one_of_two_was_put_the_other_goes_too(processor):
    writer = OfficialLessonWriter(processor, PromptEncoder(processor), AGENT)
    placed = (
        "task: put two mug in shelf. | at: desk 1 | here: nothing | holding: mug 3 | "
        "placed: mug 1 at shelf 2 | unsearched: shelf 1, shelf 3"
    )
    page = ContextRenderer().page([], AGENT.style)
    there = Choice("put", "shelf", "go to shelf 2")
    (lesson,) = writer.action_lessons(
        replace(episode(), prompts=(PolicyInput("", placed, page),), choices=(there,))
    )
    assert lesson.choice is None


def test_a_timetable_tells_lessons_of_official_prompts_anew(processor):
    settings = WarmupSettings(
        reading_steps=0, acting_steps=2, plain_lessons=4, skilled_lessons=0, replayed_lessons=0
    )
    shown = Demonstrations((episode(),), {"none": 1}, {"none": 1}, AGENT)
    table = Timetable(processor, shown, settings)
    first, again, second = table.lessons(0), table.lessons(0), table.lessons(1)
    assert first == again, "a step's lessons follow from its number"
    as_played = {told(processor, lesson) for lesson in table.plain}
    told_now = {told(processor, lesson) for step in range(10) for lesson in table.lessons(step)}
    assert as_played < told_now, "some as they were played, others anew"
    assert first != second
