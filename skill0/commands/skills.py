"""`skill0 skills`: show, check and convert skill banks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skill0.skills.skill import EVERY_TASK_TYPE

if TYPE_CHECKING:
    from skill0.envs.alfworld import AlfWorldEnv, Game
    from skill0.skills import SkillBank

app = typer.Typer(no_args_is_help=True)

PathArgument = Annotated[Path, typer.Argument(help="A skill bank, in any of the three formats.")]
LenientOption = Annotated[
    bool, typer.Option("--lenient", help="Warn of what the Agent Skills specification forbids, and go on.")
]


class Format(str, Enum):
    """The formats that are written."""

    MARKDOWN = "markdown"
    AGENT_SKILLS = "agent-skills"


@app.command()
def show(
    path: PathArgument,
    games: Annotated[
        Path | None,
        typer.Option(help="Group over the tasks of these games (store, folder or $ALFWORLD_DATA)."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of the games.")] = "train",
    lenient: LenientOption = False,
) -> None:
    """Print a bank, its digest, and which file serves which task type and why.

    Without --games, over the task types that the files declare.
    """
    from rich.console import Console

    from skill0.skills import group_by_relevance

    bank = _load(path, lenient)
    console = Console()
    for file in bank:
        serves = ", ".join(file.task_types) or "undeclared"
        console.rule(f"{file.name}: {file.title}", align="left")
        console.print(f"{file.description}\nserves: {serves}   read from: {file.source}", markup=False)
        for number, skill in enumerate(file.skills, 1):
            console.print(f"{number}. {skill.title}. {skill.principle}", markup=False)
            for label, text in (("when", skill.when_to_apply), ("brief", skill.brief)):
                if text:
                    console.print(f"   {label}: {text}", markup=False, style="dim")
    console.print(f"\ndigest {bank.digest}", markup=False)
    if games is not None:
        from skill0.envs.alfworld import load_games, tasks_from

        tasks = tasks_from(load_games(games, split))
    else:
        console.print("no games given: one stand-in task for each declared task type", style="dim")
        tasks = _declared_tasks(bank)
    console.print(group_by_relevance(bank, tasks, allow_unmatched=True).table())


@app.command()
def lint(
    path: PathArgument,
    games_per_type: Annotated[
        int, typer.Option(help="Generated households to play for each task type, to learn the live commands.")
    ] = 3,
    lenient: LenientOption = False,
) -> None:
    """Check a bank against the commands that the live engine offers. Exits with 1 when something is found.

    A bank for searching has no commands to name, and is checked without the engine.
    """
    from skill0.envs.alfworld import TASK_TYPES, HouseholdSettings, generate_games
    from skill0.envs.search import TASK_TYPES as SEARCH_TASK_TYPES
    from skill0.skills import lint as lint_bank

    bank = _load(path, lenient)
    games: list[Game] = []
    declared = {kind for file in bank for kind in file.task_types} - {EVERY_TASK_TYPE}
    if declared and declared <= set(SEARCH_TASK_TYPES):
        games_per_type = 0
    for size in ("small", "medium"):
        settings = HouseholdSettings(size=size)
        if games_per_type:
            games += generate_games(games_per_type * len(TASK_TYPES), seed=0, settings=settings)
    commands = live_commands(games) if games else []
    findings = lint_bank(bank, commands)
    for finding in findings:
        typer.echo(str(finding))
    skills = sum(len(file.skills) for file in bank)
    typer.echo(
        f"{len(bank)} files, {skills} skills against {len(commands)} live commands of {len(games)} games: "
        f"{len(findings)} finding(s)"
    )
    raise typer.Exit(1 if findings else 0)


@app.command()
def convert(
    path: PathArgument,
    folder: Annotated[Path, typer.Argument(help="Where to write; must hold no other skills.")],
    to: Annotated[Format, typer.Option(help="The format to write.")],
    lenient: LenientOption = False,
) -> None:
    """Write a bank in another format, and read it back to see that nothing was lost."""
    from skill0.errors import SkillError
    from skill0.skills import SkillBank, write_agent_skills, write_markdown

    bank = _load(path, lenient)
    paths = (write_markdown if to is Format.MARKDOWN else write_agent_skills)(bank, folder)
    written = SkillBank.load(folder)
    if written.digest != bank.digest:
        raise SkillError(f"{folder}: what was written does not read back as {path}; please report this")
    typer.echo(f"{len(paths)} files written to {folder}, digest {written.digest}")


@app.command()
def household(
    folder: Annotated[Path, typer.Argument(help="Where to write the bank.")],
    convention_seed: Annotated[int, typer.Option(help="Of the convention, as in a recipe.")] = 0,
    kind: Annotated[str, typer.Option(help="'facts' (where things are) or 'procedure'.")] = "facts",
) -> None:
    """Write the skill bank of generated households: what their convention tells."""
    from skill0.envs.alfworld import HouseholdSettings, sample_convention
    from skill0.envs.alfworld.conventions import targets
    from skill0.skills import write_markdown
    from skill0.skills.conventions import bank_from_convention

    settings = HouseholdSettings(kind=kind)  # type: ignore[arg-type]  (it checks)
    bank = bank_from_convention(sample_convention(convention_seed, settings), targets(settings))
    for path in write_markdown(bank, folder):
        typer.echo(path)


def live_commands(games: Sequence[Game]) -> set[str]:
    """Commands the engine offers: on the way of each game's winning plan, and on a tour of all receptacles
    with the plan's object in hand.

    Raises `GameError` when a plan does not win its game.
    """
    from skill0.envs.alfworld import AlfWorldEnv
    from skill0.errors import GameError

    commands: set[str] = set()
    env = AlfWorldEnv(max_steps=1000)
    try:
        for game in _progress(games, "Playing games"):
            if not _play(env, game, game.walkthrough, commands):
                raise GameError(f"{game.id}: its own plan does not win it; generate or import it again")
            _play(env, game, _tour(env, game), commands)
    finally:
        env.close()
    return commands


def _play(env: AlfWorldEnv, game: Game, actions: Iterable[str], commands: set[str]) -> bool:
    """Play until the game is over or the actions are, adding what is offered; whether it was won."""
    commands.update(env.reset(game.as_task()).admissible or ())
    for action in actions:
        result = env.step(action)
        commands.update(result.observation.admissible or ())
        if result.terminated or result.truncated:
            return bool(result.info["won"])
    return False


def _tour(env: AlfWorldEnv, game: Game) -> list[str]:
    """The plan as far as its first object in hand, then every receptacle, opened where it can be."""
    receptacles = [
        command.removeprefix("go to ")
        for command in env.reset(game.as_task()).admissible or ()
        if command.startswith("go to ")
    ]
    taken = next((step for step, action in enumerate(game.walkthrough) if action.startswith("take ")), -1)
    visits = [f"{verb} {name}" for name in receptacles for verb in ("go to", "open")]
    return [*game.walkthrough[: taken + 1], *visits]


def _load(path: Path, lenient: bool) -> SkillBank:
    from skill0.skills import SkillBank

    bank = SkillBank.load(path, lenient=lenient)
    for warning in bank.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return bank


def _declared_tasks(bank: SkillBank) -> list:
    """A stand-in task for each declared task type, so that declarations show without any games."""
    from skill0.envs.base import Task
    from skill0.skills import EVERY_TASK_TYPE

    declared = dict.fromkeys(task_type for file in bank for task_type in file.task_types)
    return [Task(name, "", name, "") for name in declared if name != EVERY_TASK_TYPE]


def _progress(games: Sequence[Game], description: str) -> Iterable[Game]:
    from rich.console import Console
    from rich.progress import track

    return track(games, description=description, console=Console(stderr=True), transient=True)
