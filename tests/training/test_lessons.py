"""Lessons: every mark is where it says it is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from classroom import AGENT, FACTS, FILES, demonstrations, pupil

from skill0.agent import PolicyInput, skill_segments
from skill0.context import ContextRenderer, PageStyle
from skill0.policy import PromptEncoder
from skill0.training.lessons import LessonWriter, fact_places, thin_out
from skill0.training.searching_expert import HERE, Choice


@pytest.fixture(scope="module")
def processor():
    return pupil()[1]


@pytest.fixture(scope="module")
def writer(processor):
    return LessonWriter(processor, PromptEncoder(processor), AGENT)


def spelled(processor, lesson) -> list[str]:
    ids = (*lesson.turn.prompt_ids, *lesson.turn.completion_ids)
    return [processor.tokenizer.decode([token]) for token in ids]


def test_fact_places_are_the_visual_tokens_that_show_the_values():
    # Cell 7x14, leading 14: a token row per line, four characters a token. "mug         cabinet": the value
    # begins at column 12, so it is token 3 of its row; a row has 168 / 28 = 6 tokens.
    page = ContextRenderer().page(skill_segments(FILES, "brief", 24), PageStyle("7x14", 168, 14))
    assert fact_places(page, FACTS) == {"mug": 3, "egg": 6 + 3}
    assert fact_places(page, {"mug": "fridge", "gg": "fridge"}) == {}


def test_fact_places_in_sentences_are_the_middles_of_the_values_wherever_lines_break():
    # 24 characters a line, a token row per line, six tokens of four characters in it:
    #   row 0  Heating
    #   row 1  - mug: The mug is kept            and  row 2  in the cabinet.: "cabinet" at columns 7 to 13
    #   row 3  - egg: The egg is kept            and  row 4  in the fridge.: "fridge" at columns 7 to 12
    page = ContextRenderer().page(skill_segments(FILES, "full", 24), PageStyle("7x14", 168, 14))
    rows = [row.strip() for row in page.row_texts()]
    assert rows[1:5] == [
        "- mug: The mug is kept",
        "in the cabinet.",
        "- egg: The egg is kept",
        "in the fridge.",
    ]
    indent = page.row_texts()[2].index("in")
    assert fact_places(page, FACTS) == {
        "mug": 2 * 6 + (indent + 7 + 3) // 4,
        "egg": 4 * 6 + (indent + 7 + 3) // 4,
    }
    # What another skill says is not this one's value, and a word within a word is none.
    assert fact_places(page, {"mug": "fridge", "egg": "ridge"}) == {}


def test_an_action_lesson_marks_look_up_glances_and_copies(processor, writer):
    lesson = writer.action_lessons(demonstrations().episodes[0])[0]
    tokens = spelled(processor, lesson)
    assert "".join(tokens[len(lesson.turn.prompt_ids) :]) == (
        "<think>mug: cabinet</think><action>go to cabinet 1</action><|im_end|>"
    )
    assert all(lesson.learned)
    (mark,) = lesson.look_ups
    assert tokens[mark.query - 1 : mark.query + 2] == ["mug", ": ", "cabinet"]
    assert mark.target - tokens.index("<|image_pad|>") == 3
    glances = {(tokens[query + 1], tokens[source]) for query, source in lesson.glances}
    assert glances == {("cabinet", "mug"), ("cabinet 1", "cabinet")}
    copied = {tokens[query + 1]: {tokens[place] for place in places} for query, places in lesson.copies}
    assert copied == {"mug": {"mug"}, "cabinet 1": {"cabinet 1"}}


def test_a_name_is_copied_from_the_part_of_the_prompt_that_the_reason_points_at(processor, writer):
    """ "cabinet 1" stands in three parts; one goes to places that were not searched, and takes from where one
    is."""
    blank = ContextRenderer().page([], AGENT.style)
    text = "task: find | at: cabinet 1 | here: mug 1 | unsearched: cabinet 1, fridge 1 | see: cabinet 1"
    go = Choice("egg", "cabinet", "go to cabinet 1")
    take = Choice("mug", HERE, "take mug 1 from cabinet 1")
    prompts = (PolicyInput("", text, blank),) * 2
    both = replace(demonstrations().episodes[2], prompts=prompts, choices=(go, take))
    found = []
    for lesson in writer.action_lessons(both):
        tokens = spelled(processor, lesson)
        sources = {tokens[query + 1]: places for query, places in lesson.copies}
        found.append({name: {"".join(tokens[p - 2 : p]) for p in places} for name, places in sources.items()})
    assert found[0]["cabinet 1"] == {"unsearched: "}
    assert found[1]["cabinet 1"] == {"at: "}
    assert found[1]["mug 1"] == {"here: "}


def test_without_a_page_there_is_nothing_to_look_up(writer):
    plain = demonstrations().episodes[2]
    assert plain.trajectory.arm == ()
    assert all(not lesson.look_ups and lesson.copies for lesson in writer.action_lessons(plain))


def test_a_free_choice_is_learnt_by_its_options_and_not_by_what_was_drawn(processor, writer):
    lesson = writer.action_lessons(demonstrations().episodes[2])[0]
    tokens = spelled(processor, lesson)
    assert lesson.choice is not None
    query, options = lesson.choice
    assert tokens[query] == "go to "
    assert [processor.tokenizer.decode([token]) for token in options] == ["cabinet 1", "fridge 1"]
    drawn = query + 1 - len(lesson.turn.prompt_ids)
    assert [number for number, learned in enumerate(lesson.learned) if not learned] == [drawn]
    (sources,) = (sources for place, sources in lesson.copies if place == query)
    assert {tokens[place] for place in sources} == {"cabinet 1", "fridge 1"}


def test_a_thing_in_sight_is_looked_at_and_otherwise_the_first_token(processor, writer):
    sought, seen = writer.action_lessons(demonstrations().episodes[0])
    ((query, sources),) = sought.sightings
    assert spelled(processor, sought)[query - 1 : query + 2] == ["mug", ": ", "cabinet"]
    assert sources == (0,)
    ((query, sources),) = seen.sightings
    assert spelled(processor, seen)[query - 1 : query + 2] == ["mug", ": ", "here"]
    assert {spelled(processor, seen)[place] for place in sources} == {"mug 1"}


def test_a_reading_lesson_asks_for_the_values_only(processor, writer):
    lesson = writer.reading_lesson(FILES, FACTS, random.Random(0))
    tokens = spelled(processor, lesson)[len(lesson.turn.prompt_ids) :]
    assert "".join(tokens) in (
        "mug: cabinet, egg: fridge<|im_end|>",
        "egg: fridge, mug: cabinet<|im_end|>",
    )
    assert {token for token, learned in zip(tokens, lesson.learned, strict=True) if learned} == set(
        FACTS.values()
    )
    assert len(lesson.look_ups) == len(lesson.glances) == 2


def test_thinning_out_keeps_some_skills_in_their_order():
    (file,) = thin_out(FILES, 1, random.Random(0))
    assert len(file.skills) == 1
    assert thin_out(FILES, 9, random.Random(0)) == FILES
