"""Which set rows belong to: what rows, people, files and folders call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.envs.search.set_names import SETS, Naming, guessed_name, known_set, split_name
from skill0.envs.search.sets import load_files, load_questions, questions_of
from skill0.errors import EnvError

ROW = {"question": "who wrote emma", "golden_answers": ["Jane Austen"]}
HOP, DIRECT = "multi_hop_reasoning", "direct_retrieval"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("nq", "nq"),
        ("NQ", "nq"),
        ("searchR1_nq", "nq"),
        ("NQ-open", "nq"),
        ("natural_questions", "nq"),
        ("trivia_qa", "triviaqa"),
        ("PopQA", "popqa"),
        ("hotpot_qa", "hotpotqa"),
        ("2WikiMultihopQA", "2wikimultihopqa"),
        ("2wiki", "2wikimultihopqa"),
        ("MuSiQue", "musique"),
        ("Bamboogle", "bamboogle"),
        ("nq2", None),
        ("nq_test", None),  # a name as a whole; the beginnings of files' names are below
        ("trivia", None),  # anybody's
        ("", None),
    ],
)
def test_names_of_sets(name, known):
    assert known_set(name) == known


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("nq_test.jsonl", "nq"),
        ("NQ-open.dev.jsonl.gz", "nq"),
        ("nq/test.jsonl", "nq"),
        ("hotpot_qa/validation", "hotpotqa"),  # a folder of `save_to_disk`
        ("hotpot_dev_distractor_v1.json", "hotpotqa"),
        ("musique_ans_v1.0_dev.jsonl", "musique"),
        ("2WikiMultihopQA-dev.parquet", "2wikimultihopqa"),
        ("mine/nq_test.jsonl", "nq"),
        ("nq/popqa_test.jsonl", "popqa"),  # the file's own name first
        ("nq_hotpotqa_train.parquet", "nq_hotpotqa_train"),  # of both: its rows must say
        ("nq/nq_hotpotqa_train.parquet", "nq_hotpotqa_train"),
        ("my_nq.jsonl", "my_nq"),  # it does not begin so
        ("nq_and_mine/test.jsonl", "nq_and_mine"),  # a folder's whole name counts
        ("mine/test.jsonl", "mine"),  # a split is no name
        ("data/quiz.v2.jsonl", "quiz.v2"),
    ],
)
def test_what_files_are_taken_for(path, name):
    assert guessed_name(Path(path)) == name


def test_a_file_in_the_folder_of_a_set_by_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "triviaqa").mkdir()
    monkeypatch.chdir(tmp_path / "triviaqa")
    assert guessed_name(Path("test.jsonl")) == "triviaqa"


def test_rows_then_people_then_files():
    assert Naming("nq", "popqa").of(None) == "nq"
    assert Naming(None, "popqa").of(None) == "popqa"
    assert Naming(None, "popqa").of("searchR1_NQ") == "nq"
    assert Naming(None, "popqa").of("quiz") == "quiz"  # it says that it is something else
    assert Naming("nq", "popqa").of("quiz") == "nq"  # but a person knows better
    assert Naming("exam", "popqa").of("quiz") == "quiz"
    assert Naming("exam", "dev").of(None) == "exam"
    with pytest.raises(EnvError, match="the row is of 'hotpotqa', but was given as 'NQ'"):
        Naming("NQ", "dev").of("hotpotqa")


NAMES = st.text("abcXYZ019_-", min_size=1)


@given(NAMES, st.text(min_size=1))
def test_a_name_before_a_path(name, path):
    assert split_name(f"{name}={path}") == (name, path)
    assert split_name(f"./{name}={path}") == (None, f"./{name}={path}")  # how to write a path that has one


@given(st.text())
def test_what_has_no_name_is_a_path(text):
    name, path = split_name(text)
    assert text == (path if name is None else f"{name}={path}")


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["nq_test.jsonl", "nq/test.jsonl", "NQ/dev.jsonl"])
def test_questions_of_nq_are_never_taken_for_multi_hop(tmp_path, name):
    [question] = load_questions(write(tmp_path / name, ROW)).questions
    assert (question.source, question.task_type) == ("nq", DIRECT)


def test_a_set_that_nobody_names_is_an_error_with_its_ways_out(tmp_path):
    path = write(tmp_path / "mine" / "test.jsonl", ROW)
    with pytest.raises(EnvError, match=r"test\.jsonl, row 1: .*'mine' is none of nq, .*nq=FILE.*task_type"):
        load_questions(path)
    [given] = load_files([f"nq={path}"]).questions
    assert (given.source, given.task_type) == ("nq", DIRECT)
    [told] = load_questions(write(path, {**ROW, "task_type": "compare"})).questions
    assert (told.source, told.task_type) == ("mine", "compare")
    [typed] = load_questions(write(path, {**ROW, "type": "bridge"})).questions
    assert (typed.source, typed.task_type) == ("mine", HOP)
    with pytest.raises(EnvError, match="'mine' is none of"):
        load_questions(write(path, {**ROW, "type": "riddle"}))
    assert len(SETS) == 7


def test_the_published_rule_drops_sets_that_it_does_not_know():
    found = questions_of([ROW, {**ROW, "id": "x", "data_source": "NQ"}], "mine", published_types=True)
    assert ([question.source for question in found.questions], found.dropped) == (["nq"], 1)


def test_several_files_keep_their_questions_apart(tmp_path):
    nq, popqa = write(tmp_path / "nq" / "test.jsonl", ROW), write(tmp_path / "popqa" / "test.jsonl", ROW)
    found = load_files([nq, str(popqa)])
    # Rows without an id are called after file and number.
    assert [(q.source, q.id) for q in found.questions] == [("nq", "test_1"), ("popqa", "test_1")]
    dev = write(tmp_path / "nq" / "dev.jsonl", ROW)
    assert [question.id for question in load_files([nq, dev]).questions] == ["test_1", "dev_1"]
    other = write(tmp_path / "other" / "test.jsonl", ROW)
    for again in (nq, f"nq={other}"):
        with pytest.raises(EnvError, match=r"question 'test_1' of 'nq' is in .*nq/test\.jsonl too"):
            load_files([nq, again])
