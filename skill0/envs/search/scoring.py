"""How an answer is compared with the gold answers: exact match, F1 and substring match.

Normalisation is that of SQuAD as Search-R1 and SKILL0 use it: lower case, ASCII punctuation deleted (not
spaced), the words a, an, the dropped, white space collapsed. So "1,000" becomes "1000" and "U.S." becomes
"us", while typographic quotes, dashes and accents stay.

One deviation: in the published code a gold answer that normalises to nothing ("The The", "!!!") is matched
by any answer that does, and is a substring of every answer. Here such a gold answer is compared by its
letters as they are. `published=True` leaves that out. The published code has no F1; where it is asked for, an
answer and a gold answer that are both nothing agree, as in SQuAD 2.

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


def exact_match(answer: str, gold: Sequence[str], *, published: bool = False) -> bool:
    """Whether the answer equals any gold answer once both are normalised."""
    return any(ours == theirs for ours, theirs in _compared(answer, gold, published))


def f1(answer: str, gold: Sequence[str], *, published: bool = False) -> float:
    """The best harmonic mean of precision and recall over words, each word counted as often as it occurs."""
    pairs = _compared(answer, gold, published)
    return max((_f1(ours.split(), theirs.split()) for ours, theirs in pairs), default=0.0)


def substring_match(answer: str, gold: Sequence[str], *, published: bool = False) -> bool:
    """Whether any gold answer occurs in the answer, by characters as published: "us" occurs in "music"."""
    return any(
        theirs in ours if theirs or published else ours == theirs
        for ours, theirs in _compared(answer, gold, published)
    )


def contains_answer(text: str, gold: Sequence[str]) -> bool:
    """Whether any gold answer occurs in the text as whole words."""
    ours = f" {normalise(text)} "
    return any((theirs := normalise(answer)) and f" {theirs} " in ours for answer in gold)


def score(answer: str, gold: Sequence[str], *, published: bool = False) -> Score:
    """All three figures, of which none is less than the exact match."""
    return Score(
        float(exact_match(answer, gold, published=published)),
        f1(answer, gold, published=published),
        float(substring_match(answer, gold, published=published)),
    )


def published_answer(history: str) -> str | None:
    """What the published code takes for the answer: the last answer tag anywhere in the whole dialogue.

    Retrieved passages are part of that dialogue, so a passage can answer in the model's place.
    """
    found = _ANSWER.findall(history)
    return found[-1].strip() if found else None


def _compared(answer: str, gold: Sequence[str], published: bool) -> list[tuple[str, str]]:
    """The answer and each gold answer as they are compared with each other."""
    ours = normalise(answer)
    return [
        (ours, theirs) if (theirs := normalise(text)) or published else (_bare(answer), _bare(text))
        for text in gold
    ]


def _bare(text: str) -> str:
    return " ".join(text.lower().split())


def _f1(ours: list[str], theirs: list[str]) -> float:
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
