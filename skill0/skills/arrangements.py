"""Skill banks for the almanac, whose arrangement (which section tells what) is known: made, not written.

Five files, as SKILL0's Search-QA bank has: one of general know-how and one for each type of question, which
tells in which section each fact stands that such a question may ask for. Each fact is a skill of its own, as
a sentence and as a brief (`capital: government`). Deterministic: equal arguments give equal banks.

`skills/almanac` is such a bank (tests/skills/test_arrangements.py proves it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from skill0.errors import SkillError
from skill0.skills.bank import SkillBank
from skill0.skills.skill import EVERY_TASK_TYPE, Skill, SkillFile

_MEANINGS = {
    "anthem": "title of a country's national anthem",
    "area": "area of a country, as a rank",
    "capital": "capital city of a country",
    "currency": "currency of a country",
    "customer": "country that buys most of a country's exports",
    "demonym": "word for a person from a country",
    "domain": "ending of a country's internet addresses",
    "elevation": "elevation of a country's highest point, as a rank",
    "export": "largest export of a country",
    "legislature": "name of a country's legislature",
    "peak": "name of a country's highest point",
    "population": "population of a country, as a rank",
    "symbol": "national symbol of a country",
    "telephone": "beginning of a country's telephone numbers",
}

_FILES = {
    "direct_retrieval": (
        "direct_retrieval",
        "Facts about a country",
        "Where the almanac tells what is asked directly.",
        Skill(
            "One page is enough",
            "Search for `SECTION of COUNTRY`, then answer with what the page tells, word for word.",
            "When the question names the country.",
            "direct: one page",
        ),
    ),
    "entity_attribute_lookup": (
        "entity_attribute_lookup",
        "Attributes of a country",
        "Where the almanac tells a country's attributes.",
        Skill(
            "Look the attribute up",
            "Search for `SECTION of COUNTRY`, then answer with the attribute's value and nothing else.",
            "When the question asks for an attribute of a country.",
            "attribute: one page",
        ),
    ),
    "multi_hop_reasoning": (
        "multi_hop_reasoning",
        "Questions of two steps",
        "How to find the country first, and where the almanac tells what is then asked of it.",
        Skill(
            "Find the country first",
            "Search for `capital CITY` to learn the country, then for `SECTION of COUNTRY`.",
            "When the question tells the country's capital instead of its name.",
            "hops: capital first",
        ),
    ),
    "compare": (
        "compare",
        "Comparing two countries",
        "How to compare, and where the almanac tells the figures.",
        Skill(
            "The smaller rank is the larger figure",
            "Read the same section of both countries; rank 1 is the largest. Answer with the country.",
            "When the question asks which of two countries has the larger figure.",
            "compare: same section",
        ),
    ),
}

_GENERAL_KNOW_HOW = (
    Skill(
        "Do not read a section twice",
        "A section that does not tell it of one country does not tell it of another. Try one not read yet.",
        "When a page did not tell what you need.",
        "missing: unread",
    ),
    Skill(
        "Answer when you see it",
        "Answer as soon as the page shown tells it: every search costs a turn, and there are few.",
        "When the page shown tells what was asked.",
        "here: answer",
    ),
)


def bank_from_arrangement(
    arrangement: Mapping[str, str], relations: Mapping[str, Sequence[str]]
) -> SkillBank:
    """The five skill files of an almanac.

    Args:
        arrangement: relation -> the section that tells it ("capital" -> "government").
        relations: task type -> the relations that its questions ask about.

    Raises:
        SkillError: an unknown task type or relation, or a relation without a section.
    """
    files = [_general(arrangement)]
    for task_type, asked in relations.items():
        if task_type not in _FILES:
            raise SkillError(f"unknown task type {task_type!r}; known are {', '.join(sorted(_FILES))}")
        name, title, description, know_how = _FILES[task_type]
        facts = tuple(_fact(relation, arrangement) for relation in asked)
        files.append(SkillFile(name, title, (know_how, *facts), (task_type,), description))
    return SkillBank(tuple(files))


def _general(arrangement: Mapping[str, str]) -> SkillFile:
    """General know-how, and the sections that tell most."""
    counts = Counter(arrangement.values())
    ranked = sorted(counts, key=lambda section: (-counts[section], section))
    search = tuple(
        Skill(
            f"The {ordinal} section to read",
            f"{counts[section]} of {len(arrangement)} kinds of facts stand in the section {section}.",
            "When you do not know which section tells what you need.",
            f"{ordinal}: {section}",
        )
        for ordinal, section in zip(("first", "second", "third"), ranked, strict=False)
    )
    return SkillFile(
        "general",
        "General know-how",
        _GENERAL_KNOW_HOW + search,
        (EVERY_TASK_TYPE,),
        "How to search the almanac, whatever the question.",
    )


def _fact(relation: str, arrangement: Mapping[str, str]) -> Skill:
    if relation not in arrangement or relation not in _MEANINGS:
        raise SkillError(
            f"{relation!r} has no section in the arrangement, or is none of {', '.join(sorted(_MEANINGS))}"
        )
    section = arrangement[relation]
    return Skill(
        relation.capitalize(),
        f"The {relation}, which is the {_MEANINGS[relation]}, stands in the section {section}.",
        f"When the question asks for the {relation}.",
        f"{relation}: {section}",
    )
