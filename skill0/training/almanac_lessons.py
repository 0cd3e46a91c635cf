"""Lessons from the almanac: where in a prompt stands what its expert replies.

The marks are those of `lessons`, for prompts whose parts are the question, what was noted, the sections not
read ("unread: ..."), and the page shown ("see: ..."):

- a section that a fact names is looked up on the page of skills;
- before the query's section a glance goes to the thought, where it was named; a section that was drawn at
  random is a free choice of those not read;
- names (relations, countries, values, ranks) are copied from the question or from what was noted; an answer
  from the page shown, right behind its relation;
- before the reason, attention is due to the relation on the page shown, or to the prompt's first token where
  that does not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skill0.agent.settings import AgentSettings
from skill0.envs.search.almanac.book import SECTIONS
from skill0.training.lessons import LessonWriter
from skill0.training.searching_expert import HERE, Choice

_SHOWN = "see"
_ASKED = ("", "noted")  # the prompt's first part, the question, has no label


class AlmanacLessonWriter(LessonWriter):
    """Writes lessons with the marks above; `names` are the almanac's single tokens."""

    unsearched = "unread"

    def __init__(self, processor: Any, encoder: Any, agent: AgentSettings, names: Sequence[str]) -> None:
        super().__init__(processor, encoder, agent)
        self._names = frozenset(names)

    def _wanted(self, prompt_ids: Sequence[int], choice: Choice) -> tuple[int, ...]:
        """Where the page shown tells the relation that is asked for."""
        if choice.reason != HERE:
            return ()
        parts, key = self._parts(prompt_ids), self._token(choice.key)
        return tuple(
            place for place, token in enumerate(prompt_ids) if token == key and parts[place] == _SHOWN
        )

    def _glances(
        self, start: int, completion: Sequence[int], words: Mapping[str, int], key: str, value: str
    ) -> tuple[tuple[int, int], ...]:
        """From before the thought's reason to its key; from before that word in the query to the reason."""
        thought = words[value]
        again = [place for place, token in enumerate(completion) if token == completion[thought]][1:]
        first = ((start + words[key] + 1, start + words[key]),) if thought == words[key] + 2 else ()
        return (*first, *((start + place - 1, start + thought) for place in again))

    def _copies(
        self, prompt_ids: Sequence[int], completion: Sequence[int], choice: Choice
    ) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Marks of the names in a reply that the prompt's text holds too."""
        parts, key = self._parts(prompt_ids), self._token(choice.key)
        answered = choice.reason == HERE
        copies = []
        for number, token in enumerate(completion):
            if not self._is_name(token):
                continue
            named = [place for place, other in enumerate(prompt_ids) if other == token]
            if answered and token != key:
                named = [place for place in named if parts[place] == _SHOWN and prompt_ids[place - 2] == key]
            sources = tuple(place for place in named if parts[place] in _ASKED)
            if (
                not sources and self._spelling(token) not in SECTIONS
            ):  # those come from the page, or the thought
                sources = tuple(named)
            if sources:
                copies.append((len(prompt_ids) + number - 1, sources))
        return tuple(copies)

    def _is_name(self, token: int) -> bool:
        return self._spelling(token) in self._names or bool(self._kind(token))
