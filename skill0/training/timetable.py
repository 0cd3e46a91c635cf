"""Which lessons each step of the warm-up has: a pure function of the seed and the step's number."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

from skill0.context import OFFICIAL
from skill0.errors import ConfigError
from skill0.policy.encoding import PromptEncoder
from skill0.training.lessons import Lesson, thin_out
from skill0.training.official_lessons import OfficialLessonWriter, Renaming
from skill0.training.searching_expert import facts_of
from skill0.training.taught_worlds import HOUSEHOLDS

if TYPE_CHECKING:
    from skill0.training.demonstrations import Demonstrations
    from skill0.training.warmup import WarmupSettings

FIRST_FACTS = 4
"""Facts on a page at the start of the reading stage."""

_FULL_PAGE = 16
"""About as many facts as the skill files of one task state."""


class Timetable:
    """Draws lessons.

    Raises:
        ConfigError: the settings ask for turns of a kind that the demonstrations do not hold.
    """

    def __init__(self, processor: Any, demonstrations: Demonstrations, settings: WarmupSettings) -> None:
        self.settings = settings
        official = demonstrations.agent.prompt_template == OFFICIAL
        self.world = demonstrations.world or (None if official else HOUSEHOLDS)
        encoder = PromptEncoder(processor)
        if self.world is not None:
            self.writer = self.world.writer(processor, encoder, demonstrations.agent)
            self.renaming = self.world.renaming(processor.tokenizer)
        else:
            self.writer = OfficialLessonWriter(processor, encoder, demonstrations.agent)
            self.renaming = Renaming(processor.tokenizer)
        self.plain: list[Lesson] = []
        self.skilled: list[Lesson] = []
        for episode in demonstrations.episodes:
            lessons = self.writer.action_lessons(episode)
            (self.skilled if episode.trajectory.arm else self.plain).extend(lessons)
        wanted = {"plain_lessons": self.plain}
        if settings.acting_steps:
            wanted["skilled_lessons"] = self.skilled
        for name, found in wanted.items():
            if getattr(settings, name) and not found:
                arms = "'none'" if name == "plain_lessons" else "'all' or 'some'"
                raise ConfigError(
                    f"warm-up: {name} is set, but no episode of the arm {arms} was demonstrated"
                )

    @property
    def digest(self) -> str:
        """sha256 over all turns: equal digests mean equal demonstrations, in equal tokens."""
        content = hashlib.sha256()
        for lesson in (*self.plain, *self.skilled):
            content.update(repr((lesson.turn.prompt_ids, lesson.turn.completion_ids)).encode())
        return content.hexdigest()

    def lessons(self, step: int) -> list[Lesson]:
        """The lessons of a step, numbered from 0."""
        settings = self.settings
        draw = random.Random(f"warm-up {settings.seed} {step}")
        facts = self._facts(step, draw)
        # Short pages are cheap: many of them cost as much as a few whole ones.
        reads = settings.reading_lessons if step < settings.reading_steps else settings.replayed_lessons
        pages = reads * max(1, _FULL_PAGE // (2 * facts))
        lessons = [self._page(facts, draw) for _ in range(pages)]
        lessons += self.writer.drills(reads, draw)
        lessons += draw.sample(self.plain, min(settings.plain_lessons, len(self.plain)))
        if step >= settings.reading_steps:
            lessons += draw.sample(self.skilled, min(settings.skilled_lessons, len(self.skilled)))
        if self.renaming is None:
            return lessons
        return [
            self.renaming(lesson, draw) if draw.random() < self.renaming.share else lesson
            for lesson in lessons
        ]

    def _facts(self, step: int, draw: random.Random) -> int:
        """Facts on this step's pages: more and more during the reading stage, now and then fewer."""
        done = step / max(1, self.settings.reading_steps)
        facts = FIRST_FACTS if done < 0.5 else 2 * FIRST_FACTS if done < 0.75 else _FULL_PAGE
        return facts if draw.random() < 0.8 else draw.choice([n for n in (4, 8, 16) if n <= facts])

    def _page(self, facts: int, draw: random.Random) -> Lesson:
        """A page of some task's skill files, under a convention of its own."""
        assert self.world is not None, "official games have no pages of facts"
        files = self.world.page(draw)
        if facts < _FULL_PAGE:
            files = thin_out(files, facts, draw)
        return self.writer.reading_lesson(files, facts_of(files), draw)
