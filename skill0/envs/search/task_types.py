"""Which task type a question of a benchmark has.

Our rule: PopQA asks for an attribute of an entity; NQ and TriviaQA ask directly; of the multi-hop sets
(HotpotQA, 2WikiMultihopQA, MuSiQue, Bamboogle) a question is a comparison where the set says so (`type` in
HotpotQA and 2WikiMultihopQA), else where its words do, and multi-hop otherwise. Words say so in three
ways: a comparing word ("older") with a choice of two, a choice at the end ("..., A or B?"), or two things
that are asked to be alike ("Are A and B both ...?"). Nothing is known of any other set: unless a row has one
of these types, its task type cannot be told.

The published rule looks for "which", "or" and "for" as substrings: "or" is found in "born" and "actor",
and "for", which rules a comparison out, in "before" and "former". It knows no multi-hop set but HotpotQA;
what else is no comparison is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skill0.envs.search.questions import ATTRIBUTE, COMPARE, DIRECT, MULTI_HOP, TASK_TYPES
from skill0.envs.search.set_names import SETS
from skill0.errors import EnvError

_DIRECT, _ATTRIBUTE = ("nq", "triviaqa"), ("popqa",)
_COMPARISONS = ("comparison", "bridge_comparison")
_TYPES = (*_COMPARISONS, "bridge", "compositional", "inference")
_OR = re.compile(r"\bor\b")
_CHOICE = re.compile(r", ?[^,?]+\bor\b[^,?]+\??$")
_OUT_OF_TWO = re.compile(r"\b(?:out of|between|which of|who of|of the two)\b.* and ")
_COMPARING = re.compile(
    r"\b(?:older|younger|oldest|youngest|earlier|earliest|first|later|latest|last|more|most|less|fewer|longer|longest"
    r"|shorter|larger|largest|bigger|smaller|higher|highest|lower|taller|closer|nearer|newer|recently|before|after"
    r"|better|greater|farther|further)\b"
)
_ALIKE = re.compile(
    r"^(?:are|were|is|was|do|did|does|have|has)\b.*\b(?:both|same|also|either|as well as)\b"
    r"|^(?:are|were|do|did|have)\b.* and "
)


def task_type(source: str, question: str, metadata: Mapping[str, Any] | None = None) -> str:
    """The task type of a question by our rule. `source` is one of `SETS`, or a set of one's own.

    Raises:
        EnvError: a question of one's own set has no `type` that HotpotQA or 2WikiMultihopQA has.
    """
    if source in _ATTRIBUTE:
        return ATTRIBUTE
    if source in _DIRECT:
        return DIRECT
    kind = (metadata or {}).get("type")
    if source not in SETS and kind not in _TYPES:
        raise EnvError(
            f"the task type is not known, as {source!r} is none of {', '.join(SETS)}: say which of them it "
            f"is (nq=FILE, or data_source in the row), or give the row a task_type ({', '.join(TASK_TYPES)})"
        )
    if isinstance(kind, str) and kind:
        return COMPARE if kind in _COMPARISONS else MULTI_HOP
    return COMPARE if compares(question) else MULTI_HOP


def compares(question: str) -> bool:
    """Whether the words of a question compare."""
    text = " ".join(question.lower().split())
    comparing = _COMPARING.search(text) is not None
    of_two = comparing and (_OR.search(text) is not None or _OUT_OF_TWO.search(text) is not None)
    return of_two or _CHOICE.search(text) is not None or _ALIKE.search(text) is not None


def published_task_type(source: str, question: str) -> str | None:
    """The task type by the published rule; None where that drops the question."""
    text = question.lower()
    if source in _ATTRIBUTE:
        return ATTRIBUTE
    if source in _DIRECT:
        return DIRECT
    if "which" in text and "or" in text and "for" not in text:
        return COMPARE
    return MULTI_HOP if source == "hotpotqa" else None
