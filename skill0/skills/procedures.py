"""Skill banks for households whose convention is one of procedure: what their own words ask for.

One file of general know-how, with the place where things stand, and one for each family of words: which
appliance a word stands for, and where what is for somebody is put. `bank_from_convention` makes them when it
is asked for task types of this kind; `skills/household_procedure` is such a bank
(tests/skills/test_procedure_bank.py proves it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skill0.skills.skill import EVERY_TASK_TYPE, Skill, SkillFile

FORMS = ("one_word", "two_words", "last_word")
"""What the task types of a family are called, after the family's name."""

TITLES = {"party": "The party", "parlour": "The parlour", "garden": "The garden", "study": "The study"}
"""The families of words, and their files' titles."""

TASK_TYPES = tuple(f"{family}_{form}" for family in TITLES for form in FORMS)

_APPLIANCES = {
    "sinkbasin": ("clean", "Cleaning is undone by nothing."),
    "microwave": ("heat", "The microwave need not be opened. What was cool is cool no more."),
    "fridge": ("cool", "The fridge need not be opened. What was hot is hot no more."),
}

_GENERAL_KNOW_HOW = (
    Skill(
        "Words first, in their order",
        "Each word before the thing stands for an appliance. With the thing in hand, use the appliance of "
        "the first word, then that of the second, and only then bring it to the one it is for.",
        "When the task describes a thing with words of the house.",
        "words: in order",
    ),
    Skill(
        "The last of hot and cool counts",
        "Heating and cooling undo each other. Where one word asks for the microwave and one for the fridge, "
        "the thing must end as the last word asks.",
        "When the words of a task ask for both.",
        "hot cool: last",
    ),
    Skill(
        "Nothing that was not asked for",
        "Do nothing to a thing that its words do not ask for: nobody wants it clean, hot or cool for no "
        "reason.",
        "When you pass an appliance with the thing in hand.",
        "unasked: never",
    ),
    Skill(
        "Open what is closed",
        "Nothing can be put into a closed receptacle: `open RECEPTACLE`, then `move OBJECT to RECEPTACLE`.",
        "When you bring a thing and read that its place is closed.",
        "closed: open",
    ),
)


def procedure_files(
    convention: Mapping[str, str], targets: Mapping[str, Sequence[str]]
) -> tuple[SkillFile, ...]:
    """The general file, and the file of every family that has a task type in `targets`.

    Args:
        convention: Word -> appliance, recipient -> place, and "things" -> the place where things stand.
        targets: Task type -> the words and recipients its tasks may use, each in the convention.
    """
    files = [_general(convention["things"])]
    for family, title in TITLES.items():
        task_types = tuple(f"{family}_{form}" for form in FORMS)
        keys = dict.fromkeys(key for name in task_types for key in targets.get(name, ()))
        if not keys:
            continue
        words = sorted(key for key in keys if convention[key] in _APPLIANCES)
        recipients = sorted(key for key in keys if key not in words)
        asked, given = _and(words), _and([f"the {name}" for name in recipients])
        files.append(
            SkillFile(
                family,
                title,
                (
                    *(_word(word, convention[word]) for word in words),
                    *(_recipient(name, convention[name]) for name in recipients),
                ),
                task_types,
                f"What {asked} ask for, and where things for {given} are put.",
            )
        )
    return tuple(files)


def _general(stand: str) -> SkillFile:
    where = Skill(
        "Where things stand",
        f"Whatever may be asked for stands on a {stand}, in plain sight. Go there first and take it.",
        "When your hands are empty.",
        f"things: {stand}",
    )
    tools = tuple(
        Skill(
            name.capitalize(),
            f"With the thing in hand at the {name}, `{verb} OBJECT with {name} 1`. It stays in hand. {more}",
            f"When a word stands for the {name}.",
            f"{name}: {verb}",
        )
        for name, (verb, more) in _APPLIANCES.items()
    )
    return SkillFile(
        "general",
        "General know-how",
        (where, *tools, *_GENERAL_KNOW_HOW),
        (EVERY_TASK_TYPE,),
        "Where things stand, what the appliances do, and how the words of the house are followed.",
    )


def _word(word: str, appliance: str) -> Skill:
    verb = _APPLIANCES[appliance][0]
    return Skill(
        word.capitalize(),
        f"For a {word} thing use the {appliance}: `{verb} OBJECT with {appliance} 1`.",
        f"When the task asks for something {word}.",
        f"{word}: {appliance}",
    )


def _recipient(name: str, place: str) -> Skill:
    preposition = "in" if place == "cabinet" else "on"
    return Skill(
        name.capitalize(),
        f"What is for the {name} is put {preposition} a {place}. Any {place} will do.",
        f"When something is to be brought to the {name}.",
        f"{name}: {place}",
    )


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
