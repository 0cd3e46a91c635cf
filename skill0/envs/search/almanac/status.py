"""What an attentive reader of an episode knows, in one line, kept from the observations alone.

    noted: Japan                            the country with the capital that was asked about
    noted: rank 12 Japan in geography       the first of two figures that are compared, then both:
    noted: rank 12 Japan, rank 3 Peru
    unread: economy, energy, ...            sections that no page was read of, of any country

A page that tells the answer itself is not noted: it is there to be read. Figures come before names: a model
that reads from left to right knows at a name what was noted of it.
"""

from __future__ import annotations

import re

from skill0.envs.search.almanac.book import SECTIONS, TELLTALE
from skill0.envs.search.almanac.questions import read_question

_PAGE = re.compile(r"\(Title: (?P<section>[a-z]+) of (?P<country>[^)]+)\) (?P<text>[^<]*)")


class AlmanacStatus:
    """Follows one episode of a question."""

    def __init__(self, question: str) -> None:
        self._asked = read_question(question)
        self._unread = list(SECTIONS)
        self._noted = ""
        self._figures: dict[str, str] = {}

    def update(self, observation: str) -> None:
        """Take in what a search was answered with."""
        for page in _PAGE.finditer(observation):
            section, country, told = page["section"], page["country"], facts_told(page["text"])
            if section in self._unread:
                self._unread.remove(section)
            asked = self._asked
            if asked.told and told.get(TELLTALE) == asked.told:
                self._noted = country
            if asked.pair and country in asked.pair and asked.relation in told:
                self._figures[country] = told[asked.relation]
                where = f" in {section}" if len(self._figures) == 1 else ""
                self._noted = ", ".join(f"{rank} {name}" for name, rank in self._figures.items()) + where

    def __str__(self) -> str:
        noted = [f"noted: {self._noted}"] if self._noted else []
        return " | ".join([*noted, f"unread: {', '.join(self._unread) or 'none'}"])


def facts_told(text: str) -> dict[str, str]:
    """ "Japan. area: rank 12; peak: Mount Fuji" -> {"area": "rank 12", "peak": "Mount Fuji"}."""
    parts = (part.partition(": ") for part in text.partition(". ")[2].split("; "))
    return {key.strip(): value.strip() for key, colon, value in parts if colon}


def page_shown(observation: str) -> tuple[str, str, dict[str, str]]:
    """Section, country and facts of the page that an observation shows; empty where it shows none."""
    page = _PAGE.search(observation)
    return (page["section"], page["country"], facts_told(page["text"])) if page else ("", "", {})
