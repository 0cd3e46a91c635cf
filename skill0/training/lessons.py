"""Lessons: what the warm-up learns from, turn by turn, and where in the prompt the answers stand.

Two kinds. An *action lesson* is one turn of a demonstration: the expert's reply to the real prompt. A
*reading lesson* is a page of facts and a list of "key: value" pairs to complete; it needs no game, so there
is no end of them. Both are `Turn`s, with marks for the auxiliary losses, as positions in prompt + completion:

- *look-ups*: the token before a value that the page states, and the visual token that shows the value;
- *copies*: the token before a name that also stands in the prompt's text, and the places where it stands:
  those in the part of the prompt that the thought's reason points at ("unsearched: ..."), if it stands there
  (for the name of a kind, "cabinet", where one of that kind is named, if it does not stand there itself);
- *glances*: the token before a value or a name, and the word in the reply that says what is wanted: the key
  before a value, the kind of thing or place before a numbered name;
- *sightings*: the token before the thought's value, and the places in the prompt's text where a thing of the
  kind that is wanted is told to be here or seen, or the prompt's first token where there is none;
- a *choice*: the token before a name that was drawn at random, and the names it was drawn from.

Left out on purpose: marks in the history part of a page, and for words that are not one token.
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
from skill0.training.searching_expert import CLOSED, HERE, SEEN, Choice, kind

if TYPE_CHECKING:
    from skill0.training.demonstrations import Demonstration

READING_REQUEST = "read"
"""The user text of a reading lesson."""

_NAME = re.compile(r"[a-z]{2,}( \d+)?")


@dataclass(frozen=True)
class LookUp:
    """A fact to be looked up: at `query` the value comes next, and `target` is where the page shows it.

    Positions in prompt + completion. `key_id` and `value_id` are the tokens of the fact's two sides.
    """

    query: int
    target: int
    key_id: int
    value_id: int


@dataclass(frozen=True)
class Lesson:
    """A turn to imitate. `learned` marks the completion tokens that the cross-entropy is over.

    `copies` and `sightings` pair a query position with source positions in the prompt's text; `glances` pairs
    one with the position in the completion to look back at. `choice` is a free one: a query position and the
    tokens of which any may come next.
    """

    turn: Turn
    learned: tuple[bool, ...]
    look_ups: tuple[LookUp, ...] = ()
    copies: tuple[tuple[int, tuple[int, ...]], ...] = ()
    glances: tuple[tuple[int, int], ...] = ()
    sightings: tuple[tuple[int, tuple[int, ...]], ...] = ()
    choice: tuple[int, tuple[int, ...]] | None = None


class LessonWriter:
    """Turns demonstrations and conventions into lessons for one processor."""

    unsearched = "unsearched"
    """Label of the part of a prompt that names what a blind search draws from."""

    def __init__(self, processor: Any, encoder: Any, agent: AgentSettings) -> None:
        self.tokenizer = processor.tokenizer
        self.encoder = encoder
        self.agent = agent
        self.renderer = ContextRenderer()
        self.image_id: int = processor.image_token_id
        self.end_id: int = processor.tokenizer.eos_token_id
        self._spellings: dict[int, str] = {}

    def action_lessons(self, demonstration: Demonstration) -> list[Lesson]:
        """One lesson per turn."""
        pairs = zip(demonstration.prompts, demonstration.choices, strict=True)
        return [self._action_lesson(prompt, choice, demonstration.facts) for prompt, choice in pairs]

    def reading_lesson(
        self, files: Sequence[SkillFile], facts: Mapping[str, str], draw: random.Random
    ) -> Lesson:
        """A page of skill files and all of its facts to complete, in an order drawn from `draw`."""
        style = self.agent.style
        page = self.renderer.page(skill_segments(files, self.agent.skill_form, style.columns), style)
        places = fact_places(page, facts)
        # What is no single token cannot be marked by one position.
        keys = sorted(key for key in places if None not in (self._token(key), self._token(facts[key])))
        draw.shuffle(keys)
        prompt = self.encoder.encode(PolicyInput("", READING_REQUEST, page))
        completion: list[int] = []
        learned: list[bool] = []
        look_ups, glances = [], []
        for number, key in enumerate(keys):
            ids = self._ids(f"{', ' if number else ''}{key}: {facts[key]}")
            completion += ids
            learned += [False] * (len(ids) - 1) + [True]
            value = len(completion) - 1
            look_ups.append(self._look_up(prompt, completion, value, places[key], key))
            if completion[value - 2 : value - 1] == [look_ups[-1].key_id]:
                glances.append((len(prompt) + value - 1, len(prompt) + value - 2))
        turn = lesson_turn(prompt, (*completion, self.end_id), page, "")
        return Lesson(turn, (*learned, False), tuple(look_ups), glances=tuple(glances))

    def drills(self, count: int, draw: random.Random) -> list[Lesson]:
        """Lessons that no game and no page of skills is needed for; none here."""
        return []

    def _action_lesson(self, prompt: PolicyInput, choice: Choice, facts: Mapping[str, str]) -> Lesson:
        prompt_ids, reply = self.encoder.encode(prompt), choice.reply
        completion = [*self._ids(reply), self.end_id]
        turn = lesson_turn(prompt_ids, completion, prompt.page, reply)
        copies = self._copies(prompt_ids, completion, choice)
        lesson = Lesson(turn, (True,) * len(completion), copies=copies)
        key, reason = self._token(choice.key), self._token(choice.reason)
        if key is None or reason is None:
            return lesson
        words = {choice.key: completion.index(key), choice.reason: completion.index(reason)}
        query = len(prompt_ids) + words[choice.reason] - 1
        wanted = self._wanted(prompt_ids, choice)
        glances = self._glances(len(prompt_ids), completion, words, choice.key, choice.reason)
        lesson = replace(lesson, glances=glances, sightings=((query, wanted or (0,)),))
        if choice.among:
            return self._with_choice(lesson, choice)
        if prompt.page is None or facts.get(choice.key) != choice.reason:
            return lesson
        place = fact_places(prompt.page, {choice.key: choice.reason}).get(choice.key)
        if place is None:  # shown as a sentence that does not say it in these words
            return lesson
        mark = self._look_up(prompt_ids, completion, words[choice.reason], place, choice.key)
        others = tuple(copy for copy in copies if copy[0] != mark.query)
        return replace(lesson, look_ups=(mark,), copies=others)

    def _wanted(self, prompt_ids: Sequence[int], choice: Choice) -> tuple[int, ...]:
        """Where the prompt tells that a thing of the kind sought is here, or was seen, by the reason."""
        told = {HERE: ("here", "placed"), SEEN: ("seen",)}.get(choice.reason, ())
        parts = self._parts(prompt_ids)
        return tuple(
            place
            for place, token in enumerate(prompt_ids)
            if parts[place] in told and self._kind(token) == choice.key
        )

    def _with_choice(self, lesson: Lesson, choice: Choice) -> Lesson:
        """The lesson with a free choice: not the name that was drawn is learnt, but that any of `among` may
        come. Attention goes to all of them."""
        names = [self._token(name) for name in choice.among]
        drawn = self._token(choice.drawn)
        completion, prompt_ids = lesson.turn.completion_ids, lesson.turn.prompt_ids
        if None in names or drawn not in names:
            return lesson
        place = completion.index(drawn)
        query = len(prompt_ids) + place - 1
        parts = self._parts(prompt_ids)
        named = [at for at, token in enumerate(prompt_ids) if token in names]
        sources = tuple(at for at in named if parts[at] == self.unsearched) or tuple(named)
        others = tuple(mark for mark in lesson.copies if mark[0] != query)
        return replace(
            lesson,
            learned=tuple(number != place for number in range(len(completion))),
            choice=(query, tuple(token for token in names if token is not None)),
            copies=(*others, (query, sources)) if sources else others,
        )

    def _glances(
        self, start: int, completion: Sequence[int], words: Mapping[str, int], key: str, value: str
    ) -> tuple[tuple[int, int], ...]:
        """From before the thought's value to its key; from before a numbered name to its kind in the thought,
        or to the thought's value, if its kind is not there.

        `words` has the places of key and value in the completion.
        """
        glances = []
        if words[value] == words[key] + 2:
            glances.append((start + words[key] + 1, start + words[key]))
        for number, token in enumerate(completion):
            kind = self._kind(token)
            if kind:  # the thought's reason says how a place is found that it does not name
                glances.append((start + number - 1, start + words.get(kind, words[value])))
        return tuple(glances)

    def _look_up(
        self, prompt_ids: Sequence[int], completion: Sequence[int], value: int, visual_token: int, key: str
    ) -> LookUp:
        """The mark of a fact whose value is token `value` of the completion."""
        return LookUp(
            query=len(prompt_ids) + value - 1,
            target=prompt_ids.index(self.image_id) + visual_token,
            key_id=self._ids(key)[0],
            value_id=completion[value],
        )

    def _copies(
        self, prompt_ids: Sequence[int], completion: Sequence[int], choice: Choice
    ) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Marks of the names in a reply that the prompt's text holds too, or else names of that kind: in the
        part of the prompt that the choice's reason points at, if it stands there."""
        told_by = _told_by(choice.reason)
        spellings = [self._spelling(token) for token in prompt_ids]
        kinds = [self._kind(token) for token in prompt_ids]
        parts = self._parts(prompt_ids)
        copies = []
        for number, token in enumerate(completion):
            name = self._spelling(token)
            if not _NAME.fullmatch(name):
                continue
            named = [place for place, other in enumerate(spellings) if other == name]
            named = named or [place for place, kind in enumerate(kinds) if kind == name]
            sources = tuple(place for place in named if parts[place] in told_by) or tuple(named)
            if sources:
                copies.append((len(prompt_ids) + number - 1, sources))
        return tuple(copies)

    def _parts(self, prompt_ids: Sequence[int]) -> list[str]:
        """For every token the label of its part of the prompt ("unsearched"), in which parts stand between
        bars and begin with a label."""
        parts, label, begins = [], "", False
        for token in prompt_ids:
            word = self._spelling(token).strip()
            if begins:
                label = word
            begins = word == "|"
            parts.append(label)
        return parts

    def _kind(self, token: int) -> str:
        """The kind of a numbered name ("cabinet 2" -> "cabinet"), "" for any other token."""
        return kind(self._spelling(token))

    def _spelling(self, token: int) -> str:
        if token not in self._spellings:
            self._spellings[token] = self.tokenizer.decode([token], skip_special_tokens=True)
        return self._spellings[token]

    def _token(self, word: str) -> int | None:
        """The one token that spells a word, None when it takes several."""
        ids = self._ids(word)
        return ids[0] if len(ids) == 1 else None

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def _told_by(reason: str) -> frozenset[str]:
    """The parts of a household prompt that tell the names in a command, by the thought's reason."""
    told = {HERE: ("at", "here", "holding", "placed"), SEEN: ("seen",), CLOSED: ("at",)}
    return frozenset(told.get(reason, ("placed", "unsearched")))


def fact_places(page: Page, facts: Mapping[str, str]) -> dict[str, int]:
    """For every fact that the page shows: the visual token where it shows the value.

    In a table (key, blanks or a colon, value) that is the token of the value's first character, which begins
    a token there. In a skill shown as sentences ("- Mug: The mug is kept in a cabinet.") it is the token of
    the value's middle, wherever the line breaks. Facts that the page does not show are left out.
    """
    places: dict[str, int] = {}
    text = "\n".join(page.row_texts())
    for key, value in facts.items():
        left, right = re.escape(key), rf"(?<![a-z])({re.escape(value)})(?![a-z])"
        table = re.search(rf"(?<![a-z]){left}:? +{right}", text)
        found = table or re.search(rf"(?m)^- (?i:{left}):(?:(?!\n- )[\s\S])*?{right}", text)
        if found:
            at = found.start(1) if table else sum(found.span(1)) // 2
            row, column = text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1)
            places[key] = page.token_index(row, column)
    return places


def thin_out(files: Iterable[SkillFile], facts: int, draw: random.Random) -> tuple[SkillFile, ...]:
    """The files with at most `facts` skills in all, drawn at random; their order is kept."""
    everything = [(number, skill) for number, file in enumerate(files) for skill in file.skills]
    kept = sorted(draw.sample(range(len(everything)), min(facts, len(everything))))
    return tuple(
        replace(file, skills=tuple(everything[place][1] for place in kept if everything[place][0] == number))
        for number, file in enumerate(files)
    )


def lesson_turn(prompt_ids: Sequence[int], completion: Sequence[int], page: Page | None, reply: str) -> Turn:
    """A turn to learn from, with what learning needs of it."""
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
