"""Reading a reply: think, action and compression tags, and whether the reply keeps to the format.

The rules are those of docs/agent_loop.md. Any string can be parsed, in time linear in its length, and nothing
is ever raised: what is wrong with a reply is data. Left out: repairing replies. The one kindness is that an
admissible action is recognised whatever its letter case and spacing.
Tests: tests/agent/test_reply.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MIN_COMPRESSION, MAX_COMPRESSION = 1.0, 5.0
"""The range of compression factors (SKILL0, published code)."""

TAGS = ("think", "action", "compression")

_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")
_IMITATION = re.compile(
    r"</?\s*(?:observations?|skills?|information|query|notes?|history|system|user|assistant|image|tool\w*)\b[^<>]*>"
    r"|\[\s*(?:observation|action|skill|information)s?\s*\]"
    r"|<\|[^|<>]{1,40}\|>"
    r"|^[ \t]*(?:observation|skill|information)s?[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
"""Text that looks as if the environment, the skill bank or another speaker had written it."""


@dataclass(frozen=True)
class ParsedReply:
    """What a reply says.

    `action` is the text handed to the environment, on one line: what stands in the action tag when the reply
    has exactly one and no tag stands inside it, else "" (the environment then answers that nothing happens).
    `compression` is the factor in [1, 5], None when it was not asked for or is unusable. `think` is the text
    of the think tag, None when there is not exactly one. `valid` is true when there are no `problems`, each
    of which is a short sentence. `action_span` is the character span of the action inside the reply, without
    the white space around it.
    """

    action: str
    compression: float | None
    think: str | None
    valid: bool
    problems: tuple[str, ...] = ()
    action_span: tuple[int, int] | None = None


def parse_reply(
    text: str,
    *,
    admissible: Sequence[str] | None = None,
    asks_compression: bool = False,
    require_think: bool = True,
) -> ParsedReply:
    """Parses any string; never raises.

    Args:
        text: the reply as decoded.
        admissible: the commands the environment would accept now; None when it cannot tell.
        asks_compression: whether the prompt asked for a compression factor.
        require_think: whether a reply without reasoning is invalid.
    """
    spans, problems = find_tags(text)
    action, action_span = _read_action(text, spans, problems, admissible)
    think, compression = read_rest(text, spans, problems, action_span, asks_compression, require_think)
    return ParsedReply(action, compression, think, not problems, tuple(problems), action_span)


def read_rest(
    text: str,
    spans: dict[str, tuple[int, int]],
    problems: list[str],
    action_span: tuple[int, int] | None,
    asks_compression: bool,
    require_think: bool,
) -> tuple[str | None, float | None]:
    """What a reply says beside its action, whatever the form of that: its reasoning and its compression
    factor. What is wrong with them, and with the text as a whole, is added to `problems`."""
    think = _content(text, spans.get("think"))
    if require_think and not (think or "").strip() and _is_fine("think", problems):
        problems.append("the think tag is missing" if think is None else "the think tag is empty")
    if think is not None and action_span is not None and spans["think"][0] > action_span[0]:
        problems.append("the think tag comes after the action")
    compression = _read_compression(text, spans, problems, asks_compression)
    imitation = _IMITATION.search(text)
    if imitation:
        problems.append(f"the text imitates another speaker: {_shorten(imitation[0].strip())!r}")
    return think, compression


def action_mask(token_spans: Sequence[tuple[int, int]], span: tuple[int, int] | None) -> tuple[bool, ...]:
    """Which completion tokens hold a character of `span`; one entry per token.

    `token_spans` are the character spans of the tokens (`PolicyOutput.token_spans`).
    """
    if span is None:
        return (False,) * len(token_spans)
    return tuple(start < span[1] and span[0] < end for start, end in token_spans)


def find_tags(text: str, names: Sequence[str] = TAGS) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """The content span of every tag that is opened and closed exactly once; what is wrong with the tags."""
    places: dict[str, list[tuple[str, int, int]]] = {name: [] for name in names}
    order: list[str] = []
    for match in _TAG.finditer(text):
        slash, name = match.groups()
        if name not in places:
            continue
        places[name].append((slash, match.start(), match.end()))
        order.append(name)
    spans, problems = {}, []
    for name, found in places.items():
        opened = [end for slash, _, end in found if not slash]
        closed = [start for slash, start, _ in found if slash]
        if len(opened) == len(closed) == 1:
            if opened[0] <= closed[0]:
                spans[name] = (opened[0], closed[0])
            else:
                problems.append(f"the {name} tag is closed before it is opened")
        elif found:
            repeated = max(len(opened), len(closed)) > 1
            fault = "repeated" if repeated else "not closed" if opened else "not opened"
            problems.append(f"the {name} tag is {fault}")
    # Side by side, tags come in pairs: <a></a><b></b>.
    if not problems and any(first != second for first, second in zip(order[::2], order[1::2], strict=True)):
        problems.append("tags are nested in one another")
    return spans, problems


def _is_fine(name: str, problems: list[str]) -> bool:
    """Whether the form of a tag has not been complained about yet: one fault, one problem."""
    return not any(problem.startswith(f"the {name} tag") for problem in problems)


def _content(text: str, span: tuple[int, int] | None) -> str | None:
    return None if span is None else text[span[0] : span[1]]


def _read_action(
    text: str,
    spans: dict[str, tuple[int, int]],
    problems: list[str],
    admissible: Sequence[str] | None,
) -> tuple[str, tuple[int, int] | None]:
    content = _content(text, spans.get("action"))
    if content is None:
        if _is_fine("action", problems):
            problems.append("the action tag is missing")
        return "", None
    if _TAG.search(content):  # wrongly nested, and reported as such
        return "", None
    action = " ".join(content.split())
    if not action:
        problems.append("the action tag is empty")
        return "", None
    start = spans["action"][0] + len(content) - len(content.lstrip())
    span = (start, start + len(content.strip()))
    if admissible is not None and action not in admissible:
        known = next((command for command in admissible if _same(command, action)), None)
        if known is None:
            problems.append(f"the action {_shorten(action)!r} is not admissible")
        else:
            action = known
    return action, span


def _read_compression(
    text: str, spans: dict[str, tuple[int, int]], problems: list[str], asked: bool
) -> float | None:
    content = _content(text, spans.get("compression"))
    if not asked:
        if content is not None:
            problems.append("the compression tag was not asked for")
        return None
    if content is None:
        if _is_fine("compression", problems):
            problems.append("the compression tag is missing")
        return None
    try:
        factor = float(content) if "_" not in content else math.nan  # float reads "1_0" as 10
    except ValueError:
        problems.append(f"the compression factor {_shorten(content.strip())!r} is not a number")
        return None
    if not math.isfinite(factor):
        problems.append(f"the compression factor {_shorten(content.strip())!r} is not a finite number")
        return None
    if not MIN_COMPRESSION <= factor <= MAX_COMPRESSION:
        problems.append(f"the compression factor {factor:g} lies outside [1, 5]")
        return None
    return factor


def _same(command: str, action: str) -> bool:
    return " ".join(command.split()).casefold() == action.casefold()


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
