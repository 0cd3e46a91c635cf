"""Skill banks for households whose conventions (what is kept where) are known: made, not written.

Six files, as SKILL0's ALFWorld bank has (arXiv 2604.02268, section 3): one of general know-how and one for
each kind of task, which tells where every object that such a task may ask for is kept, and what it takes.
Each fact is a skill of its own, as a sentence and as a brief (`mug: cabinet`). Deterministic: equal
arguments give equal banks.

Households whose convention is one of procedure have other files (procedures.py); the task types decide.

`skills/household` is such a bank (tests/skills/test_conventions.py proves it). In warm-up, where every game
has its own convention, the rendered bank is the only place where the convention can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skill0.errors import SkillError
from skill0.skills import procedures
from skill0.skills.bank import SkillBank
from skill0.skills.skill import EVERY_TASK_TYPE, Skill, SkillFile

MAX_FACTS = 10
"""More object types than this in a file, and its facts are told by receptacle type, several in a skill."""

LAMPS = ("desklamp", "floorlamp")

_SURFACES = (
    *("armchair", "bed", "coffeetable", "countertop", "desk", "diningtable", "dresser", "ottoman", "shelf"),
    *("sidetable", "sofa", "stoveburner", "toilet", "tvstand"),
)
"""Receptacles that things lie on; things are in all others."""


@dataclass(frozen=True)
class Family:
    """A kind of task: its file's name and title, the task types served, and know-how of its own."""

    name: str
    title: str
    description: str
    task_types: tuple[str, ...]
    know_how: tuple[Skill, ...]


FAMILIES = (
    Family(
        "pick_and_place",
        "Bringing things",
        "Where the things are kept that tasks ask to bring somewhere, and how to bring one or two.",
        ("pick_and_place_simple", "pick_two_obj_and_place"),
        (
            Skill(
                "Bring it as it is",
                "Take the object, go to the receptacle that the task names, open it if it is closed, and "
                "`move OBJECT to RECEPTACLE`.",
                "When the task asks for nothing to be done to the object.",
                "put: move",
            ),
            Skill(
                "Two of a kind",
                "Bring the first before you take the second, and put both into the same receptacle, the one "
                "with the same number.",
                "When the task asks for two objects.",
                "two: same place",
            ),
        ),
    ),
    Family(
        "look_at_object",
        "Looking at things under a lamp",
        "Where the things and the lamp are that tasks ask to look at or examine, and how to use the lamp.",
        ("look_at_obj_in_light",),
        (
            Skill(
                "Lamp on, object in hand",
                "Take the object, go to the receptacle that the lamp stands on, and `use desklamp 1`. Keep "
                "the object in hand.",
                "When the task asks to look at or examine an object with a lamp.",
                "light: desklamp",
            ),
        ),
    ),
    Family(
        "clean",
        "Cleaning things",
        "Where the things are kept that tasks ask to clean, and how to clean them.",
        ("pick_clean_then_place_in_recep",),
        (
            Skill(
                "Clean at the basin",
                "Take the object to the sinkbasin and `clean OBJECT with sinkbasin 1` before you bring it to "
                "its place. It stays in hand.",
                "When the task asks for a clean object.",
                "clean: sinkbasin",
            ),
        ),
    ),
    Family(
        "heat",
        "Heating things",
        "Where the things are kept that tasks ask to heat, and how to heat them.",
        ("pick_heat_then_place_in_recep",),
        (
            Skill(
                "Heat with the microwave",
                "Take the object to the microwave and `heat OBJECT with microwave 1` before you bring it to "
                "its place. The microwave need not be opened; the object stays in hand.",
                "When the task asks for a hot object.",
                "heat: microwave",
            ),
        ),
    ),
    Family(
        "cool",
        "Cooling things",
        "Where the things are kept that tasks ask to cool, and how to cool them.",
        ("pick_cool_then_place_in_recep",),
        (
            Skill(
                "Cool with the fridge",
                "Take the object to the fridge and `cool OBJECT with fridge 1` before you bring it to its "
                "place. The fridge need not be opened; the object stays in hand.",
                "When the task asks for a cool object.",
                "cool: fridge",
            ),
        ),
    ),
)

_GENERAL_KNOW_HOW = (
    Skill(
        "Open what is closed",
        "A closed receptacle shows nothing of what is in it: `open RECEPTACLE` before you look elsewhere.",
        "When you arrive at a receptacle and read that it is closed.",
        "closed: open",
    ),
    Skill(
        "Take it when you see it",
        "`take OBJECT from RECEPTACLE` as soon as an object of the kind you need is listed; any number "
        "will do.",
        "When you see what the task asks for and your hands are empty.",
        "seen: take",
    ),
    Skill(
        "Do not look twice",
        "A receptacle that did not hold the object will not hold it later. Go where you have not been.",
        "When the object was not where you looked.",
        "missing: unvisited",
    ),
    Skill(
        "One thing at a time",
        "You can hold a single object. Put it where it belongs before you take another.",
        "When you hold something.",
        "hold: one",
    ),
)


def bank_from_convention(
    convention: Mapping[str, str], targets: Mapping[str, Sequence[str]] | None = None
) -> SkillBank:
    """The six skill files of a household that keeps its things as `convention` tells; or, for task types of
    procedure, the files that tell what its words ask for.

    Args:
        convention: Object type -> receptacle type where it is kept, both as the engine names them
            ("mug" -> "cabinet"). A lamp in it is told in the file about lamps.
        targets: Task type -> the object types that its tasks may ask for. A file tells about the targets of
            its task types; a file none of whose task types is named here is left out. By default every file
            tells about every object type.

    Raises:
        SkillError: a target has no place in the convention, or a task type is unknown or of another kind than
            the rest.
    """
    if targets is not None and any(name in procedures.TASK_TYPES for name in targets):
        _check(convention, {name: ("things", *keys) for name, keys in targets.items()})
        if odd := [name for name in targets if name not in procedures.TASK_TYPES]:
            raise SkillError(f"no household has both tasks of procedure and {', '.join(odd)}; make two banks")
        return SkillBank(procedures.procedure_files(convention, targets))
    lamps = [kind for kind in LAMPS if kind in convention]
    if targets is None:
        kinds = tuple(sorted(set(convention) - set(lamps)))
        targets = {task_type: kinds for family in FAMILIES for task_type in family.task_types}
    _check(convention, targets)
    files = [_general(convention, targets)]
    for family in FAMILIES:
        served = [task_type for task_type in family.task_types if task_type in targets]
        if not served:
            continue
        kinds = {kind for task_type in served for kind in targets[task_type]}
        if family.name == "look_at_object":
            kinds |= set(lamps)
        files.append(
            SkillFile(
                family.name,
                family.title,
                family.know_how + _facts(convention, sorted(kinds)),
                family.task_types,
                family.description,
            )
        )
    return SkillBank(tuple(files))


def _check(convention: Mapping[str, str], targets: Mapping[str, Sequence[str]]) -> None:
    known = {task_type for family in FAMILIES for task_type in family.task_types} | {*procedures.TASK_TYPES}
    for task_type, kinds in targets.items():
        if task_type not in known:
            raise SkillError(f"unknown task type {task_type!r}; known are {', '.join(sorted(known))}")
        if lost := [kind for kind in kinds if kind not in convention]:
            raise SkillError(
                f"the convention does not tell where {', '.join(lost)} is kept, which {task_type} may ask for"
            )


def _general(convention: Mapping[str, str], targets: Mapping[str, Sequence[str]]) -> SkillFile:
    """General know-how, and the receptacle types where most kinds of things are: a help with any task."""
    asked = sorted({kind for kinds in targets.values() for kind in kinds})
    counts = Counter(convention[kind] for kind in asked)
    ranked = sorted(counts, key=lambda place: (-counts[place], place))
    search = tuple(
        Skill(
            f"The {ordinal} place to search",
            f"{counts[place]} of {len(asked)} kinds of things are kept {_at(place)}.",
            "When you do not know where the thing you need is kept.",
            f"{ordinal}: {place}",
        )
        for ordinal, place in zip(("first", "second", "third"), ranked, strict=False)
    )
    return SkillFile(
        "general",
        "General know-how",
        _GENERAL_KNOW_HOW + search,
        (EVERY_TASK_TYPE,),
        "How to search the household and handle things, whatever the task.",
    )


def _facts(convention: Mapping[str, str], kinds: Sequence[str]) -> tuple[Skill, ...]:
    if len(kinds) <= MAX_FACTS:
        return tuple(_fact((kind,), convention[kind]) for kind in kinds)
    places: dict[str, list[str]] = {}
    for kind in kinds:
        places.setdefault(convention[kind], []).append(kind)
    return tuple(_fact(tuple(places[place]), place) for place in sorted(places))


def _fact(kinds: tuple[str, ...], place: str) -> Skill:
    """Where one kind of thing is kept, or several that are kept together."""
    names = _and(f"the {kind}" for kind in kinds)
    verb = "is" if len(kinds) == 1 else "are"
    return Skill(
        kinds[0].capitalize() if len(kinds) == 1 else f"Kept {_at(place)}",
        f"{names[0].upper()}{names[1:]} {verb} kept {_at(place)}. Look into every {place} first.",
        f"When the task is about {_and((f'the {kind}' for kind in kinds), 'or')}.",
        f"{', '.join(kinds)}: {place}",
    )


def _at(place: str) -> str:
    article = "an" if place[:1] in "aeiou" else "a"
    return f"{'on' if place in _SURFACES else 'in'} {article} {place}"


def _and(names: Iterable[str], word: str = "and") -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
