"""How an answer is compared with the gold answers: exact match, F1 and substring match.

Normalisation is that of SQuAD as Search-R1 and SKILL0 use it: lower case, ASCII punctuation deleted (not
spaced), the words a, an, the dropped, white space collapsed. So "1,000" becomes "1000" and "U.S." becomes
"us", while typographic quotes, dashes and accents stay.

One deviation: in the published code a gold answer that normalises to nothing ("The The", "!!!") is matched
by any answer that does. Here such a gold answer is compared by its letters as they are.

Left out: one copy of the published code quarters the score of replies with more than ten answer tags.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True)
class Score:
    """The best over the gold answers: `exact_match` and `substring_match` are 0 or 1, `f1` lies between."""

    exact_match: float
    f1: float
    substring_match: float


def normalise(text: str) -> str:
    """Text as it is compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: Sequence[str]) -> bool:
    """Whether the answer equals any gold answer once both are normalised."""
    ours = normalise(answer)
    return any(
        ours == theirs if (theirs := normalise(text)) else _bare(answer) == _bare(text) for text in gold
    )


def f1(answer: str, gold: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall over words, each word counted as often as it occurs."""
    return max((_f1(normalise(answer).split(), normalise(text).split()) for text in gold), default=0.0)


def substring_match(answer: str, gold: Sequence[str]) -> bool:
    """Whether any gold answer occurs in the answer, by characters as published: "us" occurs in "music"."""
    ours = normalise(answer)
    return any((theirs := normalise(text)) and theirs in ours for text in gold)


def contains_answer(text: str, gold: Sequence[str]) -> bool:
    """Whether any gold answer occurs in the text as whole words."""
    ours = f" {normalise(text)} "
    return any((theirs := normalise(answer)) and f" {theirs} " in ours for answer in gold)


def score(answer: str, gold: Sequence[str]) -> Score:
    """All three figures."""
    return Score(
        float(exact_match(answer, gold)), f1(answer, gold), float(bool(substring_match(answer, gold)))
    )


def published_answer(history: str) -> str | None:
    """What the published code takes for the answer: the last answer tag anywhere in the whole dialogue.

    Retrieved passages are part of that dialogue, so a passage can answer in the model's place.
    """
    found = _ANSWER.findall(history)
    return found[-1].strip() if found else None


def _bare(text: str) -> str:
    return " ".join(text.lower().split())


def _f1(ours: list[str], theirs: list[str]) -> float:
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
