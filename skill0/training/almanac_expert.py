"""The scripted expert for the almanac: it looks less far when it knows how the book is arranged.

What it knows are facts `relation -> section`, from the briefs of the skill files in its context ("capital:
government"). Without a fact for what it seeks it reads sections it has not read, in an order drawn from the
prompt's seed. Its thought says what a step is for and why:

    capital: government       a fact, of the page or of the weights    <search>government of Japan</search>
    capital: anywhere         nothing is known                         <search>energy of Japan</search>
    capital: here             the page shown tells it                  <answer>Tokyo</answer>
    capital: Tokyo            whose capital is it?                     <search>capital Tokyo</search>
    area: geography           where the first of two figures stood     <search>geography of Japan</search>
    area: here                both figures are known                   <answer>Japan</answer>

Left out on purpose: what the expert itself knows of the world.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from skill0.agent.policy import EpisodeState
from skill0.envs.search.almanac.book import SECTIONS, TELLTALE, page_title
from skill0.envs.search.almanac.questions import Asked, read_question
from skill0.envs.search.almanac.status import page_shown
from skill0.envs.search.projection import ANSWER, SEARCH, read_action, tagged
from skill0.training.searching_expert import ANYWHERE, HERE, Choice, SearchingExpert, facts_of

_NOTED = re.compile(r"noted: (?:rank \d+ )?(?P<country>[^|,]+?)(?: in (?P<section>[a-z]+))?(?: \||$)")
_BOTH = re.compile(r"noted: rank (\d+) ([^|,]+), rank (\d+) ([^|,]+?) \|")
_UNREAD = re.compile(r"unread: ([^|]+)")


@dataclass(frozen=True)
class SearchChoice(Choice):
    """A decision of the almanac's expert; `action` is a search or an answer in its tag."""

    @property
    def reply(self) -> str:
        return f"<think>{self.key}: {self.reason}</think>{self.action}"

    @property
    def drawn(self) -> str:
        """The section that was drawn from `among`."""
        return read_action(self.action)[1].partition(" ")[0]


class AlmanacExpert(SearchingExpert):
    """A `Policy` like `SearchingExpert`, for the almanac; its convention is an arrangement."""

    def choose(self, state: EpisodeState, seed: int) -> Choice:
        """The decision at a state. `seed` draws the section that a blind search reads."""
        facts = {**self.convention, **facts_of(state.skills)}
        asked = read_question(state.task.instruction)
        status = state.observation.status
        noted = _NOTED.search(status)
        _, shown, told = page_shown(state.observation.text)
        if asked.pair is not None:
            return _compare(asked, noted, facts, status, seed)
        country = asked.country or (noted["country"] if noted else "")
        if not country:
            return SearchChoice(TELLTALE, asked.told, tagged(SEARCH, f"{TELLTALE} {asked.told}"))
        if shown == country and asked.relation in told:
            return SearchChoice(asked.relation, HERE, tagged(ANSWER, told[asked.relation]))
        return _look(asked.relation, country, facts, status, seed)

    def detours(self, state: EpisodeState) -> list[str]:
        """Searches that a detour may be: any unread section, while nothing was noted or found."""
        asked = read_question(state.task.instruction)
        _, shown, told = page_shown(state.observation.text)
        country = asked.country or (asked.pair or ("",))[0]
        found = asked.relation in told and shown
        if not country or found or "noted:" in state.observation.status:
            return []
        return [tagged(SEARCH, page_title(section, country)) for section in _unread(state.observation.status)]


def _compare(
    asked: Asked,
    noted: re.Match[str] | None,
    facts: Mapping[str, str],
    status: str,
    seed: int,
) -> Choice:
    assert asked.pair is not None
    if both := _BOTH.search(status):
        ranks = {both[2]: int(both[1]), both[4]: int(both[3])}
        return SearchChoice(asked.relation, HERE, tagged(ANSWER, min(ranks, key=lambda name: ranks[name])))
    if noted is None:
        return _look(asked.relation, asked.pair[0], facts, status, seed)
    other = asked.pair[asked.pair[0] == noted["country"]]
    return SearchChoice(asked.relation, noted["section"], tagged(SEARCH, page_title(noted["section"], other)))


def _look(relation: str, country: str, facts: Mapping[str, str], status: str, seed: int) -> Choice:
    """Read the section that is known to tell the relation, else one that was not read."""
    known = facts.get(relation)
    if known in _unread(status):
        return SearchChoice(relation, known, tagged(SEARCH, page_title(known, country)))
    among = _unread(status) or SECTIONS
    section = random.Random(seed).choice(among)
    return SearchChoice(relation, ANYWHERE, tagged(SEARCH, page_title(section, country)), tuple(among))


def _unread(status: str) -> tuple[str, ...]:
    found = _UNREAD.search(status)
    return tuple(name for name in found[1].strip().split(", ") if name in SECTIONS) if found else ()
