"""Exact match, F1 and substring match; every number is worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.envs.search.scoring import (
    Score,
    contains_answer,
    exact_match,
    f1,
    normalise,
    published_answer,
    score,
    substring_match,
)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("The  Beatles!", "beatles"),
        ("1,000", "1000"),
        ("U.S.", "us"),  # punctuation is deleted, not spaced
        ("rock-and-roll", "rockandroll"),
        ("a theory of an animal", "theory of animal"),  # articles as words, never inside words
        ("A-ha", "aha"),
        ("“Città”", "“città”"),  # typographic quotes and accents stay
        ("don’t", "don’t"),
        ("The The", ""),
    ],
)
def test_normalisation(text, compared):
    assert normalise(text) == compared


TEXTS = st.text(st.one_of(st.sampled_from(" .-!aAnthe\u0130\u03a3\u2019"), st.characters()), max_size=20)
"""With letters of articles, and capitals whose small letter is longer or depends on what follows."""


@given(TEXTS)
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@given(TEXTS, st.lists(TEXTS, max_size=3), st.booleans())
def test_no_figure_is_less_than_the_exact_match(answer, gold, published):
    assert score(answer, [*gold, answer], published=published) == Score(1.0, 1.0, 1.0)
    scores = score(answer, gold, published=published)
    assert scores.exact_match <= min(scores.f1, scores.substring_match)
    assert 0 <= scores.f1 <= 1


def test_a_gold_answer_that_normalises_to_nothing():
    assert score("the  the", ["The The"]) == Score(1.0, 1.0, 1.0)
    assert score("", ["The The"]) == score("an", ["The The"]) == Score(0.0, 0.0, 0.0)
    # 2 of 4 words are right, 2 of 2 were found: 2 * (2/4) * 1 / (2/4 + 1)
    assert score("We saw The The", ["The The"]) == Score(0.0, pytest.approx(2 / 3), 1.0)
    # Published, nothing equals nothing and is part of everything.
    assert (
        score("", ["The The"], published=True) == score("an", ["!"], published=True) == Score(1.0, 1.0, 1.0)
    )
    assert score("Lima", ["The The"], published=True) == Score(0.0, 0.0, 1.0)
    assert exact_match("The Lima!", ["Lima"], published=True)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("lima", ["Lima"], True),
        ("the capital is Lima", ["Lima"], False),
        ("1000 people", ["1,000"], False),
        ("1000", ["1,000"], True),
        ("Lima", ["Quito", "LIMA."], True),
        ("", ["Lima"], False),
        ("", ["The The"], False),  # published: both are nothing, so an empty answer would be right
        ("the the", ["The The"], True),
        ("!", ["!!!"], False),
    ],
)
def test_exact_match(answer, gold, equal):
    assert exact_match(answer, gold) is equal


def test_f1_counts_words():
    # 2 of 3 words are right, 2 of 2 were found: 2 * (2/3) * 1 / (2/3 + 1) = 0.8
    assert f1("Gabriel García Márquez", ["García Márquez"]) == pytest.approx(0.8)
    # The best gold answer counts: 1 of 2, 1 of 1 -> 2/3; the other shares nothing.
    assert f1("New York", ["Boston", "York"]) == pytest.approx(2 / 3)
    # "new" is asked for once and given twice: 2 common words of 3 and of 2.
    assert f1("new new york", ["New York"]) == pytest.approx(0.8)
    assert f1("", ["Lima"]) == f1("Lima", [""]) == 0.0


def test_substrings_are_of_characters_as_published_and_of_words_where_we_prove():
    assert substring_match("pop music", ["U.S."])
    assert not contains_answer("pop music", ["U.S."])
    assert contains_answer("made in the U.S.", ["US"])
    assert not substring_match("anything", ["the"])  # nothing is in everything


def test_all_three():
    assert vars(score("the city of Lima", ["Lima"])) == {
        "exact_match": 0.0,
        "f1": pytest.approx(0.5),  # 1 of 3, 1 of 1 ("the" is dropped)
        "substring_match": 1.0,
    }


def test_the_published_answer_is_the_last_one_whoever_gave_it():
    assert published_answer("<answer>Quito</answer> and then <answer> Lima </answer>") == "Lima"
    assert published_answer("<information><answer>Lima</answer></information>") == "Lima"
    assert published_answer("<answer>Lima") is None
