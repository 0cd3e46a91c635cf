"""Lessons: what the warm-up learns from, turn by turn, and where in the prompt the answers stand.

Two kinds. An *action lesson* is one turn of a demonstration: the expert's reply to the real prompt. A *reading
lesson* is a page of facts and a list of "key value" pairs to complete; it needs no game, so there is no end of
them. Both are `Turn`s, with these marks for the auxiliary losses, as positions in prompt + completion:

- *look-ups*: the token before a value that the page states, and the visual token that shows the value;
- *copies*: the token before a name that also stands in the prompt's text, and the places where it stands.

Left out on purpose: marks in the history part of a page, and in skills shown as full sentences.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skill0.agent.policy import PolicyInput
from skill0.agent.prompting import skill_segments
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import Turn
from skill0.context import ContextRenderer, Page
from skill0.skills.skill import SkillFile

if TYPE_CHECKING:
    from skill0.training.demonstrations import Demonstration

READING_REQUEST = "read"
"""The user text of a reading lesson."""

_PAIR = re.compile(r"<think>(\S+) (\S+)</think>")


@dataclass(frozen=True)
class LookUp:
    """A fact to be looked up: at `query` the value comes next, and `target` is where the page shows it.

    Positions in prompt + completion. `key_id` and `value_id` are the tokens of the fact's two sides;
    `separated` tells that a token of its own stands at `query`, between key and value.
    """

    query: int
    target: int
    key_id: int
    value_id: int
    separated: bool


@dataclass(frozen=True)
class Lesson:
    """A turn to imitate. `learned` marks the completion tokens that the cross-entropy is over.

    `copies` pairs a query position with the source positions in the prompt's text.
    """

    turn: Turn
    learned: tuple[bool, ...]
    look_ups: tuple[LookUp, ...] = ()
    copies: tuple[tuple[int, tuple[int, ...]], ...] = ()


class LessonWriter:
    """Turns demonstrations and conventions into lessons for one processor."""

    def __init__(self, processor: Any, encoder: Any, agent: AgentSettings) -> None:
        self.tokenizer = processor.tokenizer
        self.encoder = encoder
        self.agent = agent
        self.renderer = ContextRenderer()
        self.image_id: int = processor.image_token_id
        self.end_id: int = processor.tokenizer.eos_token_id
        self._names: dict[int, bool] = {}

    def action_lessons(self, demonstration: Demonstration) -> list[Lesson]:
        """One lesson per turn."""
        pairs = zip(demonstration.prompts, demonstration.replies, strict=True)
        return [self._action_lesson(prompt, reply, demonstration.facts) for prompt, reply in pairs]

    def reading_lesson(
        self, files: Sequence[SkillFile], facts: Mapping[str, str], draw: random.Random
    ) -> Lesson:
        """A page of skill files and all of its facts to complete, in an order drawn from `draw`."""
        style = self.agent.style
        page = self.renderer.page(skill_segments(files, self.agent.skill_form, style.columns), style)
        places = fact_places(page, facts)
        keys = sorted(places)
        draw.shuffle(keys)
        prompt = self.encoder.encode(PolicyInput("", READING_REQUEST, page))
        completion: list[int] = []
        learned: list[bool] = []
        look_ups = []
        for number, key in enumerate(keys):
            ids = self._ids(f"{', ' if number else ''}{key} {facts[key]}")
            completion += ids
            look_ups.append(self._look_up(prompt, completion, len(completion) - 1, places[key], key))
            learned += [False] * (len(ids) - 1) + [True]
        turn = _turn(prompt, (*completion, self.end_id), page, "")
        return Lesson(turn, (*learned, False), tuple(look_ups))

    def _action_lesson(self, prompt: PolicyInput, reply: str, facts: Mapping[str, str]) -> Lesson:
        prompt_ids = self.encoder.encode(prompt)
        completion = [*self._ids(reply), self.end_id]
        look_ups: tuple[LookUp, ...] = ()
        pair = _PAIR.match(reply)
        if prompt.page is not None and pair and facts.get(pair[1]) == pair[2]:
            place = fact_places(prompt.page, {pair[1]: pair[2]})[pair[1]]
            value = completion.index(self._ids(pair[2])[0])
            look_ups = (self._look_up(prompt_ids, completion, value, place, pair[1]),)
        copies = self._copies(prompt_ids, completion, {mark.query for mark in look_ups})
        turn = _turn(prompt_ids, completion, prompt.page, reply)
        return Lesson(turn, (True,) * len(completion), look_ups, copies)

    def _look_up(
        self, prompt_ids: Sequence[int], completion: Sequence[int], value: int, visual_token: int, key: str
    ) -> LookUp:
        """The mark of a fact whose value is token `value` of the completion."""
        key_id = self._ids(key)[0]
        return LookUp(
            query=len(prompt_ids) + value - 1,
            target=prompt_ids.index(self.image_id) + visual_token,
            key_id=key_id,
            value_id=completion[value],
            separated=completion[value - 1] != key_id and completion[value - 2 : value - 1] == [key_id],
        )

    def _copies(
        self, prompt_ids: Sequence[int], completion: Sequence[int], taken: set[int]
    ) -> tuple[tuple[int, tuple[int, ...]], ...]:
        copies = []
        for number, token in enumerate(completion):
            query = len(prompt_ids) + number - 1
            if query in taken or not self._is_name(token):
                continue
            sources = tuple(place for place, other in enumerate(prompt_ids) if other == token)
            if sources:
                copies.append((query, sources))
        return tuple(copies)

    def _is_name(self, token: int) -> bool:
        """Whether a token is a name of a thing ("mug", "cabinet 2"): letters, no spaces around."""
        if token not in self._names:
            text = self.tokenizer.decode([token], skip_special_tokens=True)
            self._names[token] = bool(re.fullmatch(r"[a-z]{2,}( \d+)?", text))
        return self._names[token]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def fact_places(page: Page, facts: Mapping[str, str]) -> dict[str, int]:
    """For every fact that the page shows as key, blanks (or a colon), value: the visual token of the value's
    first character. Facts that the page does not show are left out."""
    places: dict[str, int] = {}
    rows = page.row_texts()
    for key, value in facts.items():
        pattern = re.compile(rf"(?<![a-z]){re.escape(key)}:? +({re.escape(value)})(?![a-z])")
        for row, text in enumerate(rows):
            if match := pattern.search(text):
                places[key] = page.token_index(row, match.start(1))
                break
    return places


def thin_out(files: Iterable[SkillFile], facts: int, draw: random.Random) -> tuple[SkillFile, ...]:
    """The files with at most `facts` skills in all, drawn at random; their order is kept."""
    everything = [(number, skill) for number, file in enumerate(files) for skill in file.skills]
    kept = sorted(draw.sample(range(len(everything)), min(facts, len(everything))))
    return tuple(
        replace(file, skills=tuple(everything[place][1] for place in kept if everything[place][0] == number))
        for number, file in enumerate(files)
    )


def _turn(prompt_ids: Sequence[int], completion: Sequence[int], page: Page | None, reply: str) -> Turn:
    visual = 0 if page is None else page.visual_tokens
    return Turn(
        prompt_ids=tuple(prompt_ids),
        completion_ids=tuple(completion),
        logprobs=None,
        page=page,
        action_mask=(False,) * len(completion),
        observation="",
        reply=reply,
        action="",
        compression=None,
        valid=True,
        reward=0.0,
        text_tokens=len(prompt_ids) - visual,
        visual_tokens=visual,
    )
