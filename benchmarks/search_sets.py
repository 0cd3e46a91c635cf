"""Scripted search on the shared real sets: what the retriever and the environment allow, without a model.

    python benchmarks/search_sets.py [--shared ../shared/data/search] [--passages 3]

Three passage sets: wiki-18 passages that a dense retriever found for these questions (so a passage set
biased towards them), the passages of HippoRAG's 2WikiMultihopQA sample with the questions that a string match
finds in it, and the 1000 paragraphs of 100 HotpotQA questions, which alone tell their supporting passages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path

from skill0.commands.evaluate_search import SearchEvaluation, evaluate_search, search_settings

SETS = (
    ("wiki18_sample_questions", "wiki18_passages_sample"),
    ("2wikimultihopqa_dev_in_corpus", "2wikimultihopqa_corpus"),
)
HOTPOT = "hotpotqa_distractor_100"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = Path(__file__).parents[2] / "shared" / "data" / "search"
    parser.add_argument("--shared", type=Path, default=shared, help="the folder with the sets")
    parser.add_argument("--passages", type=int, default=3, help="passages for a query")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [(arguments.shared / f"{a}.jsonl.gz", arguments.shared / f"{b}.jsonl.gz") for a, b in SETS]
        for questions, corpus in [*pairs, hotpot(arguments.shared, Path(folder))]:
            print(f"{questions.name} on {corpus.name}")
            settings = search_settings(arguments.passages, published=False)
            evaluate_search("scripted", SearchEvaluation((questions,), str(corpus), settings=settings))


def hotpot(shared: Path, folder: Path) -> tuple[Path, Path]:
    """The questions as a set of their own name, and their paragraphs as a corpus."""
    with gzip.open(shared / f"{HOTPOT}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    questions, corpus = folder / "hotpotqa.jsonl", folder / "hotpotqa_paragraphs.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    texts = {
        title: "".join(sentences)
        for row in rows
        for title, sentences in zip(row["context"]["title"], row["context"]["sentences"], strict=True)
    }
    lines = (
        json.dumps({"id": str(number), "title": title, "text": text}) + "\n"
        for number, (title, text) in enumerate(texts.items())
    )
    corpus.write_text("".join(lines), encoding="utf-8")
    return questions, corpus


if __name__ == "__main__":
    main()
