"""Does the policy read? Success in a taught world with the right page, a blank one, a wrong one, ...

Each game has a convention of its own, which no weights can know. With the right page a reader wins; with a
blank one nobody can do better than a blind search; a wrong page (every fact replaced) leads a reader astray,
so that its success falls below the blind one. A policy that does not look at the page scores the same on all
three. The other arms ask how a reader reads: what half of the files are worth, whether the order of lines
matters, whether it reads other sizes of type, or plain text.

Left out: a fixed convention (`skill0.evaluation.evaluate` with a bank), where weights can know.
Tests: tests/training/test_reading_check.py, and with a scripted reader tests/training/test_demonstrations.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skill0.agent import AgentLoop, AgentSettings, Policy, RandomPolicy, Sampling
from skill0.context.atlas import CELLS
from skill0.errors import ConfigError
from skill0.evaluation import EvaluationReport, evaluate
from skill0.training.taught_worlds import HOUSEHOLDS, TaughtGame, TaughtWorld, with_convention

if TYPE_CHECKING:
    from skill0.agent.loop import Pool
    from skill0.skills.skill import SkillFile

RIGHT, BLANK, WRONG, RANDOM, BLIND_EXPERT = "right page", "blank page", "wrong page", "random", "blind expert"
HALF, SHUFFLED, TEXT = "half of the files", "shuffled lines", "skills as text"

DEFAULT_ARMS = ("right", "blank", "wrong")


@dataclass(frozen=True)
class ReadingArm:
    """What the policy is shown: which skill files of a game, and how prompts differ from those it learnt."""

    name: str
    files: Callable[[TaughtGame, TaughtWorld], tuple[SkillFile, ...]]
    prompts: Callable[[AgentSettings], AgentSettings] = lambda settings: settings


def right_files(game: TaughtGame, world: TaughtWorld) -> tuple[SkillFile, ...]:
    """The files of the game's own convention that its task asks for."""
    return world.skills(game)


def no_files(game: TaughtGame, world: TaughtWorld) -> tuple[SkillFile, ...]:
    """A blank page."""
    return ()


def wrong_files(game: TaughtGame, world: TaughtWorld) -> tuple[SkillFile, ...]:
    """The same files, telling a convention in which nothing is as it is here."""
    return world.skills(with_convention(game, world.wrong(game)))


def half_of_files(game: TaughtGame, world: TaughtWorld) -> tuple[SkillFile, ...]:
    """Half of the game's files (at least one), drawn by its id; in their own order."""
    files = world.skills(game)
    draw = random.Random(f"half of the files {game.id}")
    kept = set(draw.sample(range(len(files)), max(1, len(files) // 2)))
    return tuple(file for number, file in enumerate(files) if number in kept)


def shuffled_lines(game: TaughtGame, world: TaughtWorld) -> tuple[SkillFile, ...]:
    """The game's files in another order, and the skills in each too, by its id."""
    draw = random.Random(f"shuffled lines {game.id}")
    files = list(world.skills(game))
    draw.shuffle(files)
    return tuple(
        replace(file, skills=tuple(draw.sample(list(file.skills), len(file.skills)))) for file in files
    )


def as_text(settings: AgentSettings) -> AgentSettings:
    """Skills in the prompt's text; without history there is no page then."""
    return replace(settings, skills_in="text")


def in_cell(cell: str) -> Callable[[AgentSettings], AgentSettings]:
    """The page in another size of type, the rest of its style as it is."""
    return lambda settings: replace(settings, style=replace(settings.style, cell=cell))


def reading_arm(name: str) -> ReadingArm:
    """An arm by its short name: right, blank, wrong, half, shuffled, text, or a cell such as 6x12.

    Raises:
        ConfigError: there is no such arm.
    """
    arms = {
        "right": ReadingArm(RIGHT, right_files),
        "blank": ReadingArm(BLANK, no_files),
        "wrong": ReadingArm(WRONG, wrong_files),
        "half": ReadingArm(HALF, half_of_files),
        "shuffled": ReadingArm(SHUFFLED, shuffled_lines),
        "text": ReadingArm(TEXT, right_files, as_text),
        **{cell: ReadingArm(f"cell {cell}", right_files, in_cell(cell)) for cell in CELLS},
    }
    if name not in arms:
        raise ConfigError(f"{name!r} is no arm of the reading check; there are {', '.join(arms)}")
    return arms[name]


def reading_check(
    policy: Policy,
    games: Sequence[TaughtGame],
    agent: AgentSettings,
    pool: Pool,
    *,
    arms: Sequence[str] = DEFAULT_ARMS,
    world: TaughtWorld = HOUSEHOLDS,
    sampling: Sampling | None = None,
    seed: int = 0,
    batch_size: int = 48,
    progress: bool = False,
) -> EvaluationReport:
    """Success per arm, and beside them, on the same games, the random policy ("random") and the expert who
    searches without knowing ("blind expert").

    `arms` are short names, see `reading_arm`. Replies are greedy unless `sampling` says otherwise. The games
    must be generated households, best with a convention for each (`generate_games(..., None)`).

    Raises:
        ConfigError: an unknown arm or one named twice, or a game without a convention.
    """
    chosen = [reading_arm(name) for name in arms]
    if not chosen or len(set(arms)) != len(arms):
        raise ConfigError(f"arms={tuple(arms)!r} must name at least one arm, each once")
    by_task = {game.id: game for game in games}
    players = [(arm, policy) for arm in chosen]
    players += [(ReadingArm(RANDOM, no_files), RandomPolicy())]
    players += [(ReadingArm(BLIND_EXPERT, no_files), world.expert())]
    reports = []
    for arm, player in players:
        shown = {game.id: arm.files(game, world) for game in games}
        reports.append(
            evaluate(
                AgentLoop(player, pool, arm.prompts(agent)),
                [game.as_task() for game in by_task.values()],
                {arm.name: lambda task, shown=shown: shown[task.id]},
                sampling=sampling or Sampling(temperature=0.0, max_new_tokens=32),
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
        )
    return _joined(reports)


def _joined(reports: Sequence[EvaluationReport]) -> EvaluationReport:
    """One report with the arms of all, which were played with the same sampling and seed."""
    digests: dict[str, set[str]] = {}
    for report in reports:
        for name, found in report.skill_digests.items():
            digests.setdefault(name, set()).update(found)
    return replace(
        reports[0],
        arms=tuple(arm for report in reports for arm in report.arms),
        skill_digests={name: tuple(sorted(found)) for name, found in sorted(digests.items())},
        episodes=sum(report.episodes for report in reports),
        env_steps=sum(report.env_steps for report in reports),
        seconds=sum(report.seconds for report in reports),
    )
