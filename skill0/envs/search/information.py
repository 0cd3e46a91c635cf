"""Passages as the agent is shown them.

"plain" is the form of Search-R1: one line a passage, `Doc 1(Title: T) text`. "json" is that of SKILL0's
code: a JSON object, so that quotes and line breaks stand there escaped. Both stand in information tags.

Passages are other people's text. In the plain form, tags in them that mean something here lose their angle
brackets, so that a passage cannot close its own information or seem to act; the JSON form leaves them, as
published. (Neither can score: see `env.py`.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, get_args

from skill0.retrieval import Passage

InformationForm = Literal["plain", "json"]
FORMS: tuple[str, ...] = get_args(InformationForm)

_TAGS = re.compile(
    r"<(/?(?:search|answer|information|think|compression|observation|query|skill)s?)>", re.IGNORECASE
)
_OPEN, _CLOSE = "<information>", "</information>"
_NOTHING = "No search results found."
_DOC = re.compile(r"\nDoc \d+: ")


def information(passages: Sequence[Passage], form: str) -> str:
    """The observation that answers a search; `form` is one of `FORMS`."""
    if form == "json":
        text = "".join(
            f"Doc {number}: {passage.contents.strip()}\n" for number, passage in enumerate(passages, 1)
        )
        return f"{_OPEN}{json.dumps({'result': text or _NOTHING})}{_CLOSE}"
    lines = [
        f"Doc {number}(Title: {_clean(p.title)}) {_clean(p.text)}" for number, p in enumerate(passages, 1)
    ]
    return _OPEN + ("\n".join(lines) or _NOTHING) + _CLOSE


def plain(text: str) -> str:
    """An observation in the plain form, whichever of the two it has."""
    inner = text.removeprefix(_OPEN).removesuffix(_CLOSE)
    if not (text.startswith(_OPEN + "{") and text.endswith(_CLOSE)):
        return text
    _, *parts = _DOC.split("\n" + json.loads(inner)["result"])
    return information([Passage("", part.removesuffix("\n")) for part in parts], "plain")


def _clean(text: str) -> str:
    return " ".join(_TAGS.sub(r"[\1]", text).split())
