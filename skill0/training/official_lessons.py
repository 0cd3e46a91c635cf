"""Lessons from official games: a mark for the verb of the task, and names told anew each time.

*The verb.* Before the thought's first word ("heat", "put", "mug") attention is due to what the task asks to
be done and to what was done to the thing in hand: "heat" and "hot", "clean", "cool". Where neither is told
it rests on the prompt's first token. It is one more sighting (see lessons.py).

*Free names.* Of several mugs here any may be taken, and any of several shelves that were not searched is as
good to bring them to, unless one of two was put down already. What the expert happened to name is then not
learnt, but that any of them may come (a free choice, see lessons.py).

*Names told anew.* A policy that has seen "cabinet 17" five times cannot be relied upon to copy it. Names are
single tokens, so a lesson can be told again with other numbers: those of a kind are drawn anew, and their
order is kept, which the search goes by. A kind of which the reply names one that the prompt does not (the
fridge that was looked into, and is known to be number 1) keeps its numbers. Where the reply does not depend
on what is usually kept where, the kinds that the task names change too: another thing, and another place to
bring it to. Marks are positions, and stay as they are.

Left out on purpose: other kinds for tools and for lamps, which the policy must know by name.
Tests: tests/training/test_official_lessons.py.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from skill0.agent.policy import PolicyInput
from skill0.envs.alfworld.placements import placements
from skill0.training.lessons import Lesson, LessonWriter
from skill0.training.searching_expert import CLOSED, HERE, SEEN, TOOLS, UNLIKELY, Choice, kind

VERBS = frozenset({"clean", "heat", "hot", "cool"})
"""Words of a task, and of what was done to a thing, that tell a treatment."""

LAMPS = frozenset({"desklamp", "floorlamp"})

_TASK = ""  # the prompt's first part has no label


class OfficialLessonWriter(LessonWriter):
    """Writes lessons with a mark for the verb."""

    def _action_lesson(self, prompt: PolicyInput, choice: Choice, facts: Mapping[str, str]) -> Lesson:
        lesson = super()._action_lesson(prompt, choice, facts)
        key, completion = self._token(choice.key), lesson.turn.completion_ids
        if key is None or key not in completion:
            return lesson
        query = len(lesson.turn.prompt_ids) + completion.index(key) - 1
        mark = (query, self._verbs(lesson.turn.prompt_ids) or (0,))
        lesson = replace(lesson, sightings=(*lesson.sightings, mark))
        return lesson if choice.among else self._freed(lesson, choice)

    def _freed(self, lesson: Lesson, choice: Choice) -> Lesson:
        """The lesson with a free choice of the first name in its command, where others are as good."""
        prompt, completion = lesson.turn.prompt_ids, lesson.turn.completion_ids
        place = next((n for n, token in enumerate(completion) if self._kind(token)), None)
        if place is None:
            return lesson
        name, parts = completion[place], self._parts(prompt)
        part = "here" if choice.reason == HERE else "unsearched"
        same = [n for n, token in enumerate(prompt) if self._kind(token) == self._kind(name)]
        sources = tuple(n for n in same if parts[n] == part)
        options = tuple(prompt[n] for n in sources)
        bound = any(parts[n] == "placed" for n in same) and part == "unsearched"
        if name not in options or len(options) < 2 or bound or choice.reason in (SEEN, CLOSED):
            return lesson
        query = len(prompt) + place - 1
        return replace(
            lesson,
            learned=tuple(number != place for number in range(len(completion))),
            choice=(query, options),
            copies=(*(copy for copy in lesson.copies if copy[0] != query), (query, sources)),
        )

    def _verbs(self, prompt_ids: Sequence[int]) -> tuple[int, ...]:
        """Where the task and the thing in hand tell of a treatment."""
        parts = self._parts(prompt_ids)
        return tuple(
            place
            for place, token in enumerate(prompt_ids)
            if parts[place] in (_TASK, "holding") and self._spelling(token).strip() in VERBS
        )


class Renaming:
    """Tells lessons again with other names, of one tokenizer's vocabulary."""

    share = 0.5
    """Share of the lessons that are told anew."""

    def __init__(self, tokenizer: Any) -> None:
        spellings = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
        known = placements()
        places = {place for scenes in known.scenes.values() for scene in scenes for place in scene}
        fixed = UNLIKELY | LAMPS | {tool for _, tool in TOOLS.values()}
        self.numbers: dict[str, dict[int, int]] = defaultdict(dict)  # kind -> number -> token
        for token, name in spellings.items():
            if kind(name):
                self.numbers[kind(name)][int(name.rpartition(" ")[2])] = token
        self.bare = {name: token for token, name in spellings.items() if name in self.numbers}
        self.kinds = {token: name for name, token in self.bare.items()}
        self.named = {token: (name, n) for name, found in self.numbers.items() for n, token in found.items()}
        self.told = {token for token, name in spellings.items() if name in (HERE, SEEN, CLOSED)}
        self.names = tuple(sorted({*self.named, *self.kinds}))
        free = sorted(set(self.bare) - fixed)
        self.things = [name for name in free if name in known.objects and name not in places]
        self.places = [name for name in free if name in places]

    def __call__(self, lesson: Lesson, draw: random.Random) -> Lesson:
        """The lesson, told anew."""
        prompt, completion = lesson.turn.prompt_ids, lesson.turn.completion_ids
        told, named = self._numbers(prompt), self._numbers((*prompt, *completion))
        swapped = {} if self._searches(completion) else self._swapped(prompt, named, draw)
        other = {self.bare[name]: self.bare[new] for name, new in swapped.items()}
        for name, found in list(named.items()):
            known = self.numbers[swapped.get(name, name)]
            numbers = drawn = sorted(found)
            if found == told[name]:
                drawn = sorted(draw.sample(sorted(known), len(numbers)))
            for number, new in zip(numbers, drawn, strict=True):
                other[self.numbers[name][number]] = known[new]
        return _with_tokens(lesson, other)

    def _searches(self, completion: Sequence[int]) -> bool:
        """Whether a reply goes by what is usually kept where: its thought is of a thing that is neither here
        nor seen, nor maybe in what is closed here."""
        return completion[1] in self.kinds and completion[3] not in self.told

    def _swapped(
        self, prompt: Sequence[int], named: Mapping[str, set[int]], draw: random.Random
    ) -> dict[str, str]:
        """For the kinds that the task names, and for those they are exchanged with, the other kind."""
        swapped: dict[str, str] = {}
        for token in prompt:
            name = self.kinds.get(token)
            for among in (self.things, self.places):
                if name is None or name not in among or name in swapped:
                    continue
                new = draw.choice(among)
                fits = self._has_room(new, named[name]) and self._has_room(name, named[new])
                if new not in swapped and fits:
                    swapped |= {name: new, new: name}
        return swapped

    def _has_room(self, name: str, numbers: set[int]) -> bool:
        """Whether a kind has names for what is told with these numbers."""
        return not numbers or max(numbers) <= max(self.numbers[name])

    def _numbers(self, tokens: Sequence[int]) -> dict[str, set[int]]:
        """Kind -> the numbers it is named with."""
        found: dict[str, set[int]] = defaultdict(set)
        for token in tokens:
            if token in self.named:
                name, number = self.named[token]
                found[name].add(number)
        return found


def _with_tokens(lesson: Lesson, other: Mapping[int, int]) -> Lesson:
    """The lesson with some tokens exchanged; its marks stand."""

    def exchanged(tokens: Sequence[int]) -> tuple[int, ...]:
        return tuple(other.get(token, token) for token in tokens)

    turn = replace(
        lesson.turn,
        prompt_ids=exchanged(lesson.turn.prompt_ids),
        completion_ids=exchanged(lesson.turn.completion_ids),
    )
    choice = lesson.choice and (lesson.choice[0], exchanged(lesson.choice[1]))
    return replace(lesson, turn=turn, choice=choice)
