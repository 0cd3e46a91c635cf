"""Search episodes: their replies, and how their history is told.

A reply searches or answers in a tag of its own (`skill0.envs.search.projection` has the published rules for
which). Beyond these a reply is invalid here for the same faults as any other: its thinking, its compression
factor, imitating another speaker (docs/agent_loop.md). History is told as pairs of a query and the
information that answered it; the newest information stands there, too, not in a place of its own. Tests:
tests/agent/test_search_turns.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skill0.agent.policy import EpisodeState
from skill0.agent.reply import ParsedReply, find_tags, read_rest
from skill0.context import Segment
from skill0.envs.search.projection import project, read_action


def parse_search_reply(
    text: str, *, asks_compression: bool = False, require_think: bool = True
) -> ParsedReply:
    """As `skill0.agent.parse_reply`; the action is `<search>..</search>`, `<answer>..</answer>` or empty, and
    `action_span` that of the text inside. An invalid reply still acts, as published."""
    projection = project(text)
    spans, problems = find_tags(text, ("think", "compression"))
    problems += projection.problems
    kind, content = read_action(projection.action)
    if kind and not content:
        problems.append(f"the {kind} tag is empty")
    thinking = spans.get("think")
    if thinking and projection.span and thinking[0] <= projection.span[0] < thinking[1]:
        problems.append(f"the {kind} tag stands inside the think tag")
    think, compression = read_rest(text, spans, problems, projection.span, asks_compression, require_think)
    return ParsedReply(projection.action, compression, think, not problems, tuple(problems), projection.span)


@dataclass(frozen=True)
class PastSearch:
    """One turn before this one: its number from 1, what was searched for ("" for an invalid turn), and what
    that was answered with."""

    number: int
    query: str
    information: str


def past_searches(state: EpisodeState, length: int) -> list[PastSearch]:
    """The last `length` turns, oldest first."""
    answers = [turn.observation for turn in state.history[1:]] + [state.observation.text]
    turns = [
        PastSearch(number, read_action(turn.action)[1], answer)
        for number, (turn, answer) in enumerate(zip(state.history, answers, strict=False), 1)
    ]
    return turns[-length:]


def search_segments(turns: Sequence[PastSearch]) -> list[Segment]:
    """A query and its information each, in the colours of these roles. What is empty is not shown."""
    segments = []
    for turn in turns:
        if turn.query:
            segments.append(Segment("query", f"Search {turn.number}: {turn.query}"))
        if turn.information:
            segments.append(Segment("information", turn.information))
    return segments


def search_text(turns: Sequence[PastSearch]) -> str:
    """The same as plain text, two labelled lines a turn. Line breaks inside are taken out, so that no text
    can pass for a line of its own."""
    lines = []
    for turn in turns:
        lines.append(f"Search {turn.number}: {' '.join(turn.query.split()) or '(none)'}")
        lines.append(f"Information {turn.number}: {' '.join(turn.information.split()) or '(none)'}")
    return "\n".join(lines)
