"""From a reply to what the environment is given: one search or one answer, in its tag.

The published rules (SKILL0's `search_projection`): the reply is cut after its first `</search>`, or,
without one, after its first `</answer>`; what is left gives its first search, else its first answer, else
nothing. The reply is invalid when that is nothing, when both tags occur anywhere in it, or when one of
them is opened twice. An invalid reply still acts. The cut minds letter case, the tags do not, as
published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SEARCH, ANSWER = "search", "answer"

_BLOCKS = {
    name: re.compile(rf"<{name}>(.*?)</{name}>", re.IGNORECASE | re.DOTALL) for name in (SEARCH, ANSWER)
}
_OPENED = {name: re.compile(rf"<{name}>", re.IGNORECASE) for name in (SEARCH, ANSWER)}
_ACTION = re.compile(rf"<({SEARCH}|{ANSWER})>(.*)</\1>", re.DOTALL)


@dataclass(frozen=True)
class Projection:
    """`action` is `<search>..</search>`, `<answer>..</answer>` or empty, its text on one line; `span` are the
    characters of the text inside the reply. Without `problems` the reply is valid."""

    action: str
    span: tuple[int, int] | None
    problems: tuple[str, ...]


def project(reply: str) -> Projection:
    """The action of any reply. Never raises; linear in the length of the reply."""
    kept = _cut(reply)
    action, span = "", None
    for name, block in _BLOCKS.items():
        found = block.search(kept)
        if found:
            content = found[1]
            start = found.start(1) + len(content) - len(content.lstrip())
            span = (start, start + len(content.strip()))
            action = tagged(name, content)
            break
    searches, answers = (len(_OPENED[name].findall(reply)) for name in (SEARCH, ANSWER))
    problems = []
    if not action:
        problems.append("there is neither a search nor an answer tag that is opened and closed")
    if searches and answers:
        problems.append("there is a search and an answer tag")
    elif searches > 1 or answers > 1:
        problems.append(f"the {SEARCH if searches > 1 else ANSWER} tag is repeated")
    return Projection(action, span, tuple(problems))


def tagged(kind: str, text: str) -> str:
    """An action: text on one line in its tag."""
    return f"<{kind}>{' '.join(text.split())}</{kind}>"


def read_action(action: str) -> tuple[str, str]:
    """Kind and text of an action. The kind is "search", "answer", or "" for anything else.

    The outermost tag decides: an answer tag inside a search is part of the query.
    """
    found = _ACTION.fullmatch(action.strip())
    return (found[1], found[2].strip()) if found else ("", "")


def _cut(reply: str) -> str:
    for name in (SEARCH, ANSWER):
        end = f"</{name}>"
        if end in reply:
            return reply[: reply.index(end) + len(end)]
    return reply
