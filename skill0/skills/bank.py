"""The skill bank: an ordered set of skill files, read from any of three formats.

SKILL0 (arXiv 2604.02268), section 3: the bank S is N skill files, general ones and task-specific ones. A
*file* is what the curriculum keeps or withdraws.

Left out: looking through skill text for anything unwanted beyond its form (`skill0.skills.lint` reports
hidden characters); nothing in a skill is ever run.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from skill0.errors import SkillError
from skill0.skills.agent_skills import read_agent_skill
from skill0.skills.markdown import IGNORED_FILES, read_markdown
from skill0.skills.published import MAPPING, has_sections, read_published, read_sections
from skill0.skills.reading import Deviations, SourceText, read_source
from skill0.skills.skill import SkillFile

logger = logging.getLogger(__name__)

_Placed = tuple["int | None", SkillFile]
"""A file with its declared place in the bank."""


@dataclass(frozen=True)
class SkillBank:
    """An ordered, immutable set of skill files with distinct names. Two banks with equal contents are equal.

    `warnings` tells what a lenient reader let pass and what any reader could not keep.
    """

    files: tuple[SkillFile, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        seen: dict[str, SkillFile] = {}
        for file in self.files:
            if file.name in seen:
                raise SkillError(
                    f"{_place(file)}: the skill file name {file.name!r} is already used by "
                    f"{_place(seen[file.name])}; rename one"
                )
            seen[file.name] = file
            titles = [skill.title for skill in file.skills]
            if len(set(titles)) < len(titles):
                twice = next(title for title in titles if titles.count(title) > 1)
                raise SkillError(f"{_place(file)}: the skill title {twice!r} is used twice; rename one")

    @classmethod
    def load(
        cls, path: str | Path, lenient: bool = False, task_types: Collection[str] | None = None
    ) -> SkillBank:
        """Read a bank; its format is told from its content.

        Our Markdown: a file, or a folder of `<name>.md`. Agent Skills: a SKILL.md, its folder, or a folder
        of such folders. Published SKILL0: a folder with `skill_mapping.json`, or a file of `### NAME ###`
        sections. Files are in the order they declare, then by name; a README.md is passed over.

        `lenient` makes warnings of what the Agent Skills specification forbids (the other formats are ours to
        keep strict). `task_types`, where given, are the only ones a file may declare.

        Raises `SkillError`, naming file and line, for anything missing, empty, malformed or ambiguous.
        """
        deviations = Deviations(lenient)
        files = _read(Path(path), deviations, task_types)
        for message in deviations.messages:
            logger.warning("%s", message)
        return cls(files, tuple(deviations.messages))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files, in order."""
        return tuple(file.name for file in self.files)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over the contents, in order: equal for a bank and its conversion to another format."""
        contents = [
            [
                file.name,
                file.title,
                file.description,
                list(file.task_types),
                [[skill.title, skill.principle, skill.when_to_apply, skill.brief] for skill in file.skills],
            ]
            for file in self.files
        ]
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()

    def subset(self, names: Iterable[str]) -> SkillBank:
        """The bank of these files only, in this bank's order. Raises `SkillError` for an unknown name."""
        wanted = {self[name].name for name in names}
        return SkillBank(tuple(file for file in self.files if file.name in wanted))

    def __getitem__(self, name: str) -> SkillFile:
        for file in self.files:
            if file.name == name:
                return file
        raise SkillError(f"no skill file is named {name!r}; the bank has {', '.join(self.names) or 'none'}")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[SkillFile]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _place(file: SkillFile) -> str:
    line = file.lines[0] if file.lines else 1
    return f"{file.source}:{line}" if file.source else f"skill file {file.name!r} (made in memory)"


def _read(path: Path, deviations: Deviations, known: Collection[str] | None) -> tuple[SkillFile, ...]:
    if not path.exists():
        raise SkillError(f"{path}: no such file or folder; give the path of a skill bank")
    if path.is_file():
        return _read_single(path, deviations, known)
    if (path / MAPPING).is_file():
        return read_published(path, known, deviations)
    pages = sorted(page for page in path.glob("*.md") if page.name.lower() not in IGNORED_FILES)
    folders = sorted(path.glob("*/SKILL.md"))
    if pages == [path / "SKILL.md"]:
        return _read_single(pages[0], deviations, known)
    if pages and folders:
        raise SkillError(
            f"{path}: holds both {pages[0].name} and {folders[0].relative_to(path)}; keep one format"
        )
    if folders:
        return _read_agent_skills(folders, deviations, known)
    if not pages:
        raise SkillError(f"{path}: holds no skills: neither <name>.md, nor <name>/SKILL.md, nor {MAPPING}")
    sources = [read_source(page) for page in pages]
    if all(has_sections(source.text) for source in sources):
        return tuple(file for source in sources for file in read_sections(source))
    return _in_order(sources, lambda source: read_markdown(source, known))


def _read_single(path: Path, deviations: Deviations, known: Collection[str] | None) -> tuple[SkillFile, ...]:
    if path.name == MAPPING:
        return read_published(path.parent, known, deviations)
    source = read_source(path)
    if path.name == "SKILL.md":
        return (read_agent_skill(source, known, deviations)[1],)
    if has_sections(source.text):
        return read_sections(source)
    return (read_markdown(source, known)[1],)


def _read_agent_skills(
    paths: Sequence[Path], deviations: Deviations, known: Collection[str] | None
) -> tuple[SkillFile, ...]:
    placed: list[_Placed] = []
    for path in paths:
        try:
            placed.append(read_agent_skill(read_source(path), known, deviations))
        except SkillError as error:
            deviations.report(error)  # lenient: a skill that cannot be read is left out, and said so
    if not placed:
        raise SkillError(f"{paths[0].parent.parent}: none of its {len(paths)} SKILL.md files can be read")
    return _ordered(placed)


def _in_order(sources: Sequence[SourceText], read: Callable[[SourceText], _Placed]) -> tuple[SkillFile, ...]:
    return _ordered([read(source) for source in sources])


def _ordered(placed: Sequence[_Placed]) -> tuple[SkillFile, ...]:
    """By declared place; those without one follow in the order they were read (by name)."""
    return tuple(file for place, file in sorted(placed, key=lambda item: (item[0] is None, item[0] or 0)))
