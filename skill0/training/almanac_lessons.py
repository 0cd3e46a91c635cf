"""Lessons from the almanac: where in a prompt stands what its expert replies.

The marks are those of `lessons`, for prompts whose parts are the question, what was noted, the sections not
read ("unread: ..."), and the page shown ("see: ..."):

- a section that a fact names is looked up on the page of skills;
- before the query's section a glance goes to the thought, where it was named; a section that was drawn at
  random is a free choice of those not read;
- names (relations, countries, values, ranks) are copied from the question or from what was noted; an answer
  from the page shown, right behind its relation, or from what was noted, if two countries are compared;
- before the reason, attention is due to the relation on the page shown, or to the second of two figures
  noted; to the prompt's first token where neither is told.

*Drills.* Beside the pages of skills, pages of the book with values drawn at random are copied out: what
stands behind a relation is written as it stands there. And made-up figures of two countries are compared,
lest the few comparisons that were demonstrated be known by heart.

*Told anew.* A policy that saw a name five times cannot be relied upon to copy it. So every lesson is told
with other countries, values and ranks, drawn anew each time (ranks keep their order): what is imitated is how
to read and to search, and no fact of the world gets into the weights.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from skill0.agent.policy import PolicyInput
from skill0.agent.settings import AgentSettings
from skill0.context.prompts import PromptFields, fill
from skill0.envs.search.almanac.book import RELATIONS, SECTIONS, page
from skill0.envs.search.almanac.questions import comparison
from skill0.envs.search.almanac.status import AlmanacStatus
from skill0.envs.search.information import information
from skill0.envs.search.projection import ANSWER, tagged
from skill0.envs.search.questions import COMPARE
from skill0.training.almanac_expert import SearchChoice
from skill0.training.lessons import READING_REQUEST, Lesson, LessonWriter, lesson_turn
from skill0.training.searching_expert import HERE, Choice, kind

_SHOWN = "see"
_DRILLED = 8
"""Facts of a page that is copied out."""

_ASKED = ("", "noted")  # the prompt's first part, the question, has no label


class AlmanacLessonWriter(LessonWriter):
    """Writes lessons with the marks above; `names` are the almanac's single tokens, `relations`,
    `values` and `countries` those of them that a page tells."""

    unsearched = "unread"

    def __init__(
        self,
        processor: Any,
        encoder: Any,
        agent: AgentSettings,
        names: Sequence[str],
        relations: Sequence[str],
        values: Sequence[str],
        countries: Sequence[str],
    ) -> None:
        super().__init__(processor, encoder, agent)
        self._names, self._countries = frozenset(names), sorted(countries)
        self._relations, self._values = sorted(relations), sorted(set(values))

    def drills(self, count: int, draw: random.Random) -> list[Lesson]:
        """So many pages of the book to be copied out, and as many comparisons; drawn at random."""
        return [
            *(self._page_to_copy(draw) for _ in range(count)),
            *(self._comparison(draw) for _ in range(count)),
        ]

    def _comparison(self, draw: random.Random) -> Lesson:
        """The last turn of a question that compares: both figures are noted, the second page is shown."""
        relation, section = draw.choice(RELATIONS[COMPARE]), draw.choice(SECTIONS)
        pair = draw.sample(self._countries, 2)
        ranks = draw.sample(range(1, len(self._countries) + 1), 2)
        question = comparison(relation, *pair)
        status, shown = AlmanacStatus(question), ""
        for country, rank in draw.sample(list(zip(pair, ranks, strict=True)), 2):
            shown = information([page(section, country, [f"{relation}: rank {rank}"])], "plain")
            status.update(shown)
        fields = PromptFields(question, shown, status=str(status))
        prompt = PolicyInput(
            *fill(self.agent.prompt_template, fields), self.renderer.page([], self.agent.style)
        )
        winner = pair[ranks[1] < ranks[0]]
        return self._action_lesson(prompt, SearchChoice(relation, HERE, tagged(ANSWER, winner)), {})

    def _page_to_copy(self, draw: random.Random) -> Lesson:
        relations = draw.sample(self._relations, _DRILLED)
        told = dict(zip(relations, draw.sample(self._values, _DRILLED), strict=True))
        text = "; ".join(f"{relation}: {value}" for relation, value in told.items())
        page = self.renderer.page([], self.agent.style)
        prompt = self.encoder.encode(PolicyInput("", f"{READING_REQUEST} | {_SHOWN}: {text}", page))
        completion: list[int] = []
        learned: list[bool] = []
        copies = []
        for number, relation in enumerate(draw.sample(relations, _DRILLED)):
            ids = self._ids(f"{', ' if number else ''}{relation}: {told[relation]}")
            completion += ids
            learned += [False] * (len(ids) - 1) + [True]
            place = prompt.index(ids[-1])
            copies.append((len(prompt) + len(completion) - 2, (place,)))
        turn = lesson_turn(prompt, (*completion, self.end_id), page, "")
        return Lesson(turn, (*learned, False), copies=tuple(copies))

    def _wanted(self, prompt_ids: Sequence[int], choice: Choice) -> tuple[int, ...]:
        """Where the page shown tells the relation that is asked for, or the second of two figures stands."""
        if choice.reason != HERE:
            return ()
        parts, key = self._parts(prompt_ids), self._token(choice.key)
        noted = [n for n, token in enumerate(prompt_ids) if parts[n] == "noted" and self._kind(token)]
        if len(noted) == 2:
            return (noted[1],)
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
            told = [n for n in named if parts[n] == _SHOWN and prompt_ids[n - 2] == key]
            answer = answered and token != key
            if answer and told:
                named = told
            asked = ("noted",) if answer else _ASKED
            sources = tuple(place for place in named if parts[place] in asked)
            # Sections that were not noted come from the page of skills, or from the thought.
            if not sources and self._spelling(token) not in SECTIONS:
                sources = tuple(named)
            if sources:
                copies.append((len(prompt_ids) + number - 1, sources))
        return tuple(copies)

    def _is_name(self, token: int) -> bool:
        return self._spelling(token) in self._names or bool(self._kind(token))


class AlmanacRenaming:
    """Tells lessons again with other countries, values and ranks of one tokenizer's vocabulary."""

    share = 1.0
    """All lessons are told anew."""

    def __init__(self, tokenizer: Any, countries: Sequence[str], values: Sequence[str]) -> None:
        def tokens(names: Sequence[str]) -> list[int]:
            found = [tokenizer(name, add_special_tokens=False)["input_ids"] for name in sorted(names)]
            return [ids[0] for ids in found if len(ids) == 1]

        spellings = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
        ranks = sorted(
            (int(name.rpartition(" ")[2]), token) for token, name in spellings.items() if kind(name) == "rank"
        )
        self._pools = (tokens(countries), tokens(list(set(values) - set(countries))))
        self._ranks = [token for _, token in ranks]
        self.names = tuple(sorted({*self._pools[0], *self._pools[1], *self._ranks}))

    def __call__(self, lesson: Lesson, draw: random.Random) -> Lesson:
        """The lesson, told anew."""
        turn = lesson.turn
        here = {*turn.prompt_ids, *turn.completion_ids}
        other: dict[int, int] = {}
        for pool in self._pools:
            told = [token for token in pool if token in here]
            other.update(zip(told, draw.sample(pool, len(told)), strict=True))
        places = [place for place, token in enumerate(self._ranks) if token in here]
        drawn = sorted(draw.sample(range(len(self._ranks)), len(places)))
        other.update({self._ranks[old]: self._ranks[new] for old, new in zip(places, drawn, strict=True)})
        prompt, completion = (
            tuple(other.get(token, token) for token in ids) for ids in (turn.prompt_ids, turn.completion_ids)
        )
        return replace(lesson, turn=replace(turn, prompt_ids=prompt, completion_ids=completion))
