"""Task types of benchmark questions: our rule, and the published one with its substrings."""

from __future__ import annotations

import gzip
import json

import pytest

from skill0.envs.search.task_types import compares, published_task_type, task_type

HOP, COMPARE = "multi_hop_reasoning", "compare"


def test_sets_decide_first():
    question = "Which is older, Rome or Athens?"
    assert task_type("popqa", question) == "entity_attribute_lookup"
    assert task_type("nq", question) == task_type("triviaqa", question) == "direct_retrieval"
    assert {
        task_type(name, question) for name in ("hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
    } == {COMPARE}


def test_what_the_set_says_counts_more_than_words():
    assert task_type("hotpotqa", "Which is older, Rome or Athens?", {"type": "bridge"}) == HOP
    assert task_type("hotpotqa", "What do Rome and Athens share?", {"type": "comparison"}) == COMPARE
    assert task_type("2wikimultihopqa", "?", {"type": "bridge_comparison"}) == COMPARE
    assert task_type("2wikimultihopqa", "?", {"type": "compositional"}) == HOP


@pytest.mark.parametrize(
    ("question", "ours"),
    [
        ("Who was born first, Thomas Rolfe or Roger Miret?", True),
        ("Which genus has more species, Cymbidium or Patrinia?", True),
        ("Who was a pianist, Maro Ajemian or Richard C. Sarafian?", True),
        ("Who was born first out of Li Yuyang and Adam Richman?", True),
        ("Were Scott Derrickson and Ed Wood of the same nationality?", True),
        ("Where was the director of Jaws born?", False),
        ("Which actor before 1990 was the first to win the award?", False),
        ("What is the capital of the country whose anthem is longer than a minute?", False),
    ],
)
def test_words_that_compare(question, ours):
    assert compares(question) is ours


@pytest.mark.parametrize(
    ("source", "question", "published"),
    [
        ("hotpotqa", "Which is older, Rome or Athens?", COMPARE),
        # "for" stands in "before" and "former", so this is none.
        ("hotpotqa", "Which came before the other, Rome or Athens?", HOP),
        # "or" stands in "actor" and "world", so this is one.
        ("hotpotqa", "Which actor is world champion?", COMPARE),
        ("musique", "Which actor is world champion?", COMPARE),
        ("musique", "Where was the director of Jaws born?", None),
        ("bamboogle", "Who is older, Rome or Athens?", None),
        ("popqa", "Which is older, Rome or Athens?", "entity_attribute_lookup"),
        ("nq", "Which is older, Rome or Athens?", "direct_retrieval"),
    ],
)
def test_the_published_rule_takes_parts_of_words_for_words(source, question, published):
    assert published_task_type(source, question) == published


def test_both_rules_against_what_hotpotqa_says_itself(shared_data):
    with gzip.open(
        shared_data / "search" / "hotpotqa_distractor_100.jsonl.gz", "rt", encoding="utf-8"
    ) as file:
        rows = [json.loads(line) for line in file]
    truth = [COMPARE if row["type"] == "comparison" else HOP for row in rows]
    ours = [task_type("hotpotqa", row["question"]) for row in rows]
    published = [published_task_type("hotpotqa", row["question"]) for row in rows]
    assert sum(a == b for a, b in zip(ours, truth, strict=True)) == 93
    assert sum(a == b for a, b in zip(published, truth, strict=True)) == 79
