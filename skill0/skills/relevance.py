"""How relevant a skill file's text is to the tasks of a type: a TF-IDF cosine over stemmed words.

SKILL0 (arXiv 2604.02268), section 3, groups validation tasks under the skill file whose category their domain
and objective match, and leaves open how a match is found. Ours, for files that do not declare task types:

* a task type is described by its own name and by its instructions: a word weighs the share of the type's
  instructions that have it (words of the name: 1);
* a skill file is described by all of its text: a word weighs 1 + ln(times it occurs);
* both are multiplied by the word's rarity, ln((1 + types) / (1 + summed shares)): a word that all types
  share weighs nothing, one that only one type has weighs most;
* the score is the cosine of the two, over the words that occur in any task: 0 to 1.

Checked in tests/skills/test_grouping.py by a score worked out by hand, and by taking the declarations off the
ALFWorld bank and finding them again.

Left out: embeddings, synonyms, and languages other than English (their words are matched unstemmed at best).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from skill0.skills.skill import SkillFile

_STOP_WORDS = """
    a an and are as at be been before but by do for from has have if in into is it its no not of on once one
    or other so some than that the their them then there they this to under until was what when where which
    while with you your obj recep
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that carry no meaning of their own, and task names' short forms of "object" and "receptacle"."""

_WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> list[str]:
    """The stemmed words of a text, in order, without stop words."""
    return [stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The Snowball (English) stem of a lower-case word."""
    return _stemmer().stemWord(word)


@lru_cache(maxsize=1)
def _stemmer():
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def file_words(file: SkillFile) -> Counter[str]:
    """How often each word occurs in a skill file, its name, title and description included."""
    texts = [file.name, file.title, file.description]
    for skill in file.skills:
        texts += [skill.title, skill.principle, skill.when_to_apply, skill.brief]
    return Counter(word for text in texts for word in words(text))


def relevance(
    files: Sequence[SkillFile], instructions: Mapping[str, Iterable[str]]
) -> dict[tuple[str, str], tuple[float, tuple[str, ...]]]:
    """The score of every (file name, task type), and the words that count most towards it.

    `instructions` maps each task type to the instructions of its tasks.
    """
    shares = {task_type: _shares(task_type, texts) for task_type, texts in instructions.items()}
    summed: Counter[str] = Counter()
    for share in shares.values():
        summed.update(share)  # floats: the summed share of each word over the types
    rarity = {word: math.log((1 + len(shares)) / (1 + total)) for word, total in summed.items()}
    types = {
        task_type: {word: value * rarity[word] for word, value in share.items()}
        for task_type, share in shares.items()
    }
    scores = {}
    for file in files:
        vector = {
            word: (1 + math.log(count)) * rarity[word]
            for word, count in file_words(file).items()
            if word in rarity
        }
        for task_type, type_vector in types.items():
            scores[file.name, task_type] = _cosine(vector, type_vector)
    return scores


def _shares(task_type: str, texts: Iterable[str]) -> dict[str, float]:
    """Word -> share of the type's instructions that have it; 1 for the words of the type's name."""
    counts: Counter[str] = Counter()
    total = 0
    for text in texts:
        counts.update(set(words(text)))
        total += 1
    shares = {word: count / total for word, count in counts.items()}
    shares.update(dict.fromkeys(words(task_type), 1.0))
    return shares


def _cosine(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    products = {word: first[word] * second[word] for word in first if word in second}
    norms = math.hypot(*first.values()) * math.hypot(*second.values())
    if norms == 0:
        return 0.0, ()
    best = sorted((word for word in products if products[word] > 0), key=lambda word: (-products[word], word))
    return sum(products.values()) / norms, tuple(best[:4])
