"""Questions from files: every form they come in, and what is said about bad rows."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from damaged_files import damaged_gzips
from hypothesis import given

from skill0.envs.search.sets import hub_questions, load_questions, questions_of
from skill0.errors import EnvError

FLASHRAG = {"id": "test_0", "question": "Who wrote Emma?", "golden_answers": ["Jane Austen", "Austen"]}
SEARCH_R1 = {
    "id": "train_0",
    "question": "Who wrote Emma?",
    "golden_answers": ["Jane Austen"],
    "data_source": "searchR1_nq",
    "reward_model": {"ground_truth": {"target": ["Jane Austen"]}, "style": "rule"},
}
SKILL0 = {
    "data_source": "searchR1_popqa",
    "prompt": [{"role": "user", "content": "Who wrote Emma?"}],
    "env_kwargs": {
        "question": "Who wrote Emma?",
        "ground_truth": {"target": ["Austen"]},
        "data_source": "popqa",
    },
}
HOTPOT = {
    "id": "5a",
    "question": "Where was the author of Emma born?",
    "answer": "Steventon",
    "type": "bridge",
    "supporting_facts": {"title": ["Emma", "Jane Austen", "Jane Austen"], "sent_id": [0, 0, 1]},
    "context": {
        "title": ["Jane Austen", "Emma"],
        "sentences": [["She wrote. ", "Born in Steventon."], ["By her."]],
    },
}


TRIVIAQA = {
    "question": "Who wrote Emma?",
    "question_id": "tc_1",
    "answer": {
        "aliases": ["Austen", "Jane Austen"],
        "normalized_aliases": ["austen", "jane austen"],
        "matched_wiki_entity_name": "Jane Austen",
        "normalized_value": "jane austen",
        "type": "WikipediaEntity",
        "value": "Jane Austen",
    },
}
MUSIQUE = {
    "id": "2hop__1_2",
    "paragraphs": [
        {"idx": 0, "title": "Jane Austen", "paragraph_text": "Born in Steventon.", "is_supporting": True},
        {"idx": 1, "title": "Ulysses", "paragraph_text": "By Joyce.", "is_supporting": False},
        {"idx": 2, "title": "Emma", "paragraph_text": "By Jane Austen.", "is_supporting": True},
    ],
    "question": "Where was the author of Emma born?",
    "question_decomposition": [
        {"id": 7, "question": "Emma >> author", "answer": "Jane Austen", "paragraph_support_idx": 2},
        {"id": 8, "question": "#1 >> born", "answer": "Steventon", "paragraph_support_idx": 0},
    ],
    "answer": "Steventon",
    "answer_aliases": ["Steventon, Hampshire"],
    "answerable": True,
}
PAIRS = {
    "_id": "5a",
    "question": "Where was the author of Emma born?",
    "answer": "Steventon",
    "type": "compositional",
    "supporting_facts": [["Emma", 0], ["Jane Austen", 1]],
    "context": [["Jane Austen", ["She wrote. ", "Born in Steventon."]], ["Emma", ["By her."]]],
}
POPQA = {
    "id": 4222362,
    "subj": "Emma",
    "question": "Who is the author of Emma?",
    "possible_answers": '["Jane Austen", "A Lady"]',
}
BAMBOOGLE = {"Question": "Where was the author of Emma born?", "Answer": "Steventon"}


def test_triviaqa_rows():
    """A mapping as the answer: its value and other names, never its keys."""
    [question] = questions_of([TRIVIAQA], "trivia_qa").questions
    assert (question.id, question.source, question.answers) == ("tc_1", "triviaqa", ("Jane Austen", "Austen"))


def test_musique_rows():
    [question] = questions_of([MUSIQUE], "musique").questions
    assert (question.id, question.answers) == ("2hop__1_2", ("Steventon", "Steventon, Hampshire"))
    assert question.supporting == ("Emma", "Jane Austen"), "as the steps need them"
    assert question.evidence == ()
    [question] = questions_of([{**MUSIQUE, "question_decomposition": None}], "musique").questions
    assert question.supporting == ("Jane Austen", "Emma"), "as they stand there"


def test_2wikimultihopqa_rows_of_flashrag():
    metadata = {
        "type": "compositional",
        "supporting_facts": {"title": ["Emma", "Jane Austen"], "sent_id": [0, 1]},
        "context": {
            "title": ["Jane Austen", "Emma"],
            "content": [["She wrote. ", "Born in Steventon."], ["By her."]],
        },
    }
    [question] = questions_of([{**FLASHRAG, "metadata": metadata}], "2wikimultihopqa").questions
    assert question.task_type == "multi_hop_reasoning"
    assert (question.supporting, question.evidence) == (
        ("Emma", "Jane Austen"),
        ("By her.", "Born in Steventon."),
    )


def test_hotpotqa_and_2wikimultihopqa_as_their_authors_publish_them(tmp_path):
    """One array of rows, in pairs; some copies on the Hub have the pairs as JSON in a text."""
    (tmp_path / "hotpot_dev_v1.json").write_text(json.dumps([PAIRS, {**PAIRS, "_id": "5b"}], indent=1))
    first, second = load_questions(tmp_path / "hotpot_dev_v1.json").questions
    assert (first.id, second.id, first.source, first.answers) == ("5a", "5b", "hotpotqa", ("Steventon",))
    assert first.supporting == ("Emma", "Jane Austen")
    assert first.evidence == ("By her.", "Born in Steventon.")
    texts = {key: json.dumps(PAIRS[key]) for key in ("supporting_facts", "context")}
    assert questions_of([{**PAIRS, **texts}], "hotpotqa").questions == (first,)


def test_popqa_and_bamboogle_rows():
    [question] = questions_of([POPQA], "PopQA").questions
    assert (question.id, question.answers) == ("4222362", ("Jane Austen", "A Lady"))
    [question] = questions_of([BAMBOOGLE], "bamboogle").questions
    assert (question.question, question.answers) == (BAMBOOGLE["Question"], ("Steventon",))


def test_the_answer_of_nq_open_is_a_list():
    [question] = questions_of([{"question": "who wrote emma", "answer": ["Austen"]}], "nq_open").questions
    assert (question.source, question.answers) == ("nq", ("Austen",))


def test_fields_that_parquet_fills_with_nothing_say_nothing():
    nothing = {"supporting_facts": {"title": None, "sent_id": None}, "context": {"title": None}, "type": None}
    [question] = questions_of([{**FLASHRAG, "metadata": nothing}], "nq").questions
    assert question.supporting == question.evidence == ()


def test_flashrag_rows():
    [question] = questions_of([FLASHRAG], "nq").questions
    assert (question.id, question.source, question.task_type) == ("test_0", "nq", "direct_retrieval")
    assert question.answers == ("Jane Austen", "Austen")
    assert question.supporting == question.evidence == ()


def test_search_r1_and_skill0_rows():
    [question] = questions_of([SEARCH_R1], "train").questions
    assert (question.source, question.answers) == ("nq", ("Jane Austen",))
    [question] = questions_of([{**SEARCH_R1, "golden_answers": None}], "train").questions
    assert question.answers == ("Jane Austen",)
    [question] = questions_of([SKILL0], "test").questions
    assert (question.id, question.source, question.answers) == ("1", "popqa", ("Austen",))
    assert question.task_type == "entity_attribute_lookup"


def test_hotpotqa_rows_with_their_supporting_facts():
    [question] = questions_of([HOTPOT], "hotpotqa").questions
    assert question.answers == ("Steventon",)
    assert question.supporting == ("Emma", "Jane Austen")
    assert question.evidence == ("By her.", "She wrote. Born in Steventon.")
    pairs = {"metadata": {"supporting_facts": [["Emma", 0], ["Jane Austen", 1]]}}
    [question] = questions_of([{**FLASHRAG, **pairs}], "2wikimultihopqa").questions
    assert question.supporting == ("Emma", "Jane Austen")


def test_every_kind_of_file_gives_the_same(tmp_path):
    import pyarrow
    from datasets import Dataset
    from pyarrow import parquet

    rows = [FLASHRAG, {**FLASHRAG, "id": "test_1", "question": "Who wrote Persuasion?"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "nq.jsonl").write_text(lines, encoding="utf-8")
    with gzip.open(tmp_path / "nq.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "nq.parquet")
    Dataset.from_list(rows).save_to_disk(str(tmp_path / "nq"))
    (tmp_path / "hub" / "nq").mkdir(parents=True)
    (tmp_path / "hub" / "nq" / "test.jsonl").write_text(lines, encoding="utf-8")
    config = "configs:\n- config_name: nq\n  data_files:\n  - split: test\n    path: nq/test.jsonl\n"
    (tmp_path / "hub" / "README.md").write_text(f"---\n{config}---\n", encoding="utf-8")
    expected = questions_of(rows, "nq")
    for name in ("nq.jsonl", "nq.jsonl.gz", "nq.parquet", "nq"):
        assert load_questions(tmp_path / name) == expected, name
    assert hub_questions("nq", "test", repository=str(tmp_path / "hub")) == expected
    [first] = hub_questions("nq", "test", repository=str(tmp_path / "hub"), source="nq", limit=1).questions
    assert first == expected.questions[0]
    assert questions_of(Dataset.from_list(rows), "nq") == expected
    assert len(load_questions(tmp_path / "nq.jsonl", limit=1).questions) == 1


def test_the_published_rule_drops_and_counts():
    rows = [{**FLASHRAG, "data_source": "musique"}, {**FLASHRAG, "data_source": "hotpotqa"}]
    found = questions_of(rows, "x", published_types=True)
    assert ([question.source for question in found.questions], found.dropped) == (["hotpotqa"], 1)
    assert questions_of(rows, "x").dropped == 0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**FLASHRAG, "question": None}, "question must be a text, not None"),
        ({**FLASHRAG, "question": "  "}, "the question is empty"),
        ({**FLASHRAG, "golden_answers": []}, "a gold answer is missing"),
        ({**FLASHRAG, "golden_answers": ["", " "]}, "a gold answer is missing"),
        ({**FLASHRAG, "golden_answers": [7]}, r"answers must be texts, not \[7\]"),
        ({"id": "1", "question": "Who?"}, "a gold answer is missing"),
        ({**FLASHRAG, "task_type": "trivia"}, "'trivia' must be one of"),
        (
            {**HOTPOT, "supporting_facts": {"title": ["Emma"], "sent_id": [0, 1]}},
            "1 titles, but 2 sentence numbers",
        ),
        ({**FLASHRAG, "metadata": {"context": {"title": ["Emma"], "content": []}}}, "1 titles, but 0"),
        ({**TRIVIAQA, "answer": {"text": "Austen"}}, r"the answer has the fields \['text'\]"),
        ({**TRIVIAQA, "answer": {"value": "<unk>", "aliases": []}}, "withheld"),
        ({**POPQA, "possible_answers": "Austen"}, "possible_answers is a text that is not JSON"),
        ({**POPQA, "possible_answers": "[1]"}, r"answers must be texts, not \[1\]"),
        ({**MUSIQUE, "answerable": False}, "cannot be answered"),
        ({**FLASHRAG, "data_source": "popqa"}, "the row is of 'popqa', but was given as 'nq'"),
        (FLASHRAG, "the id 'test_0' occurs in row 1 as well"),
    ],
)
def test_a_bad_row_is_named(row, words):
    with pytest.raises(EnvError, match=f"here, row 2: .*{words}"):
        questions_of([FLASHRAG, row], "nq", place="here")


def test_bad_files_are_named(tmp_path):
    with pytest.raises(EnvError, match="no such file"):
        load_questions(tmp_path / "nq.jsonl")
    (tmp_path / "nq.jsonl").write_text(json.dumps(FLASHRAG) + "\n{half", encoding="utf-8")
    with pytest.raises(EnvError, match=r"nq\.jsonl, row 2: cannot be read"):
        load_questions(tmp_path / "nq.jsonl")
    (tmp_path / "nq.json").write_text(json.dumps([FLASHRAG, 7]), encoding="utf-8")
    with pytest.raises(EnvError, match=r"nq\.json, row 2: cannot be read: not a JSON object"):
        load_questions(tmp_path / "nq.json")
    (tmp_path / "nq.json").write_text(json.dumps([FLASHRAG])[:-1], encoding="utf-8")
    with pytest.raises(EnvError, match=r"nq\.json, row 1: cannot be read: Expecting"):
        load_questions(tmp_path / "nq.json")
    (tmp_path / "nq.parquet").write_bytes(b"rubbish")
    with pytest.raises(EnvError, match="not a parquet file"):
        load_questions(tmp_path / "nq.parquet")
    (tmp_path / "nq.csv").write_text("x", encoding="utf-8")
    with pytest.raises(EnvError, match="questions are read from"):
        load_questions(tmp_path / "nq.csv")
    with pytest.raises(EnvError, match="not a data set written by save_to_disk"):
        load_questions(tmp_path)
    with pytest.raises(EnvError, match="cannot be loaded"):
        hub_questions("nq", "test", repository=str(tmp_path / "nowhere"))
    with pytest.raises(EnvError, match="there are no questions"):
        questions_of([], "nq")


@given(damaged_gzips("".join(json.dumps({**FLASHRAG, "id": str(number)}) + "\n" for number in range(40))))
def test_a_damaged_gzip_is_an_error_of_its_file(damaged):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nq.jsonl.gz"
        path.write_bytes(damaged)
        with pytest.raises(EnvError, match=r"nq\.jsonl\.gz"):
            load_questions(path)


@pytest.mark.parametrize(
    ("file", "count", "types"),
    [
        ("bamboogle_test", 125, {"multi_hop_reasoning": 125}),
        ("nq_test", 3610, {"direct_retrieval": 3610}),
        ("popqa_test_1000", 1000, {"entity_attribute_lookup": 1000}),
        ("hotpotqa_dev", 7405, {"multi_hop_reasoning": 6174, "compare": 1231}),
        ("2wikimultihopqa_dev", 12576, {"multi_hop_reasoning": 6785, "compare": 5791}),
        ("musique_dev", 2417, {"multi_hop_reasoning": 2389, "compare": 28}),
        ("hotpotqa_distractor_100", 100, {"multi_hop_reasoning": 85, "compare": 15}),
    ],
)
def test_real_sets(shared_data, file, count, types):
    questions = load_questions(shared_data / "search" / f"{file}.jsonl.gz").questions
    assert len(questions) == count
    assert Counter(question.task_type for question in questions) == types
