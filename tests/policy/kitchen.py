"""A kitchen in words for the policy's tests: texts, lexicon, pages and prompts."""

from __future__ import annotations

from skill0.agent import PolicyInput
from skill0.context import ContextRenderer, Page, PageStyle, Segment
from skill0.policy import lexicon_from_texts

TEXTS = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 3, a fridge 1.",
    "Your task is to: put a mug in cabinet.",
    "take mug 2 from cabinet 1",
    "go to fridge 1",
    "holding: nothing | unsearched: cabinet 1, cabinet 2",
)

LEXICON = lexicon_from_texts(TEXTS, phrases=["go to"])


def page_of(text: str, width: int = 112) -> Page:
    return ContextRenderer().page([Segment("skill", text)], PageStyle(cell="6x12", width=width))


def prompts() -> list[PolicyInput]:
    """Eight prompts of different lengths: pages of three sizes, two of them equal, and none."""
    pages = [page_of("mug: cabinet"), page_of("mug: cabinet"), page_of("fork: drawer\n" * 6), None]
    return [
        PolicyInput("Act.", "go to cabinet 1 " * (1 + i), page, seed=100 + i)
        for i, page in enumerate([*pages, page_of("apple: fridge", width=224), *pages[:3]])
    ]
