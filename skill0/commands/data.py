"""`skill0 data`: generate, verify and import games; index and search a corpus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skill0.commands import corpus
from skill0.errors import ConfigError, GameStoreError

if TYPE_CHECKING:
    from skill0.envs.alfworld import Game, ReplayResult

app = typer.Typer(no_args_is_help=True)
app.command()(corpus.index)
app.command()(corpus.search)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Where to write the games; made when missing.")],
    games: Annotated[int, typer.Option(min=1, help="How many games.")] = 600,
    split: Annotated[str, typer.Option(help="Their split. Each split has other games.")] = "train",
    seed: Annotated[int, typer.Option(help="The same seed gives the same games.")] = 0,
    kind: Annotated[
        str, typer.Option(help="'facts' (where things are) or 'procedure' households.")
    ] = "facts",
    size: Annotated[str, typer.Option(help="small, medium or large households.")] = "small",
    task_type: Annotated[list[str] | None, typer.Option(help="Only this task type; may be repeated.")] = None,
    adherence: Annotated[
        float, typer.Option(help="Probability that a thing is where it is usually kept.")
    ] = 1.0,
    convention_seed: Annotated[
        int | None, typer.Option(help="One household's conventions for all games; else each has its own.")
    ] = None,
) -> None:
    """Generate households: new games for the ALFWorld engine, without a download."""
    from rich.console import Console

    from skill0.envs.alfworld import (
        HouseholdSettings,
        generate_games,
        sample_convention,
        write_games,
    )

    settings = HouseholdSettings(kind, size, tuple(task_type or ()), adherence)  # type: ignore[arg-type]
    convention = None if convention_seed is None else sample_convention(convention_seed, settings)
    console = Console(stderr=True)
    with console.status(f"generating {games} games"):
        made = generate_games(games, seed, settings, convention, split=split)
        facts = {
            "source": "generated households",
            "seed": seed,
            "kind": kind,
            "size": size,
            "task_types": list(settings.task_types),
            "adherence": adherence,
            "convention_seed": convention_seed,
        }
        write_games(made, folder, made_by=facts)
    print(f"wrote {len(made)} games to {folder}, split {split}")
    console.print(f"play all their plans with: skill0 data verify {folder} --replay")


@app.command("import")
def import_games(
    folder: Annotated[Path, typer.Argument(help="Where to write the games in the packed form.")],
    source: Annotated[
        Path | None, typer.Option(help="A folder of game.tw-pddl files; $ALFWORLD_DATA when not given.")
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split; may be repeated.")] = None,
) -> None:
    """Pack alfworld's own download (2 GB of files) into a folder of a few MB."""
    from rich.console import Console

    from skill0.envs.alfworld import find_splits, load_games, write_games
    from skill0.envs.alfworld.official import OFFICIAL_COUNTS

    found = source or Path(os.environ.get("ALFWORLD_DATA", ""))
    if source is None and not os.environ.get("ALFWORLD_DATA"):
        raise GameStoreError(
            "nothing to import: give --source, or set ALFWORLD_DATA to alfworld's data folder"
        )
    splits = split or [name for name in find_splits(found) if name in OFFICIAL_COUNTS] or find_splits(found)
    console = Console(stderr=True)
    games: list[Game] = []
    for name in splits:
        with console.status(f"reading {name}"):
            games += load_games(found, name)
    with console.status("writing"):
        write_games(games, folder, made_by={"source": "alfworld game.tw-pddl files"})
    for name in splits:
        print(f"{name}: {sum(game.split == name for game in games)} games written to {folder}")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A folder of games in the packed form, or $ALFWORLD_DATA.")],
    split: Annotated[list[str] | None, typer.Option(help="Only this split; may be repeated.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Play every stored winning plan.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes to play in; all cores when not given.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Play only so many games of each split, spread over it.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep translated games in this folder; later loads are faster.")
    ] = None,
) -> None:
    """Check counts and checksums; with --replay, that every game is won by its plan. Exit code 1 if not."""
    from skill0.envs.alfworld import find_splits, load_games, sample_games
    from skill0.envs.alfworld.store import verify_checksums

    if limit is not None and not replay:
        raise ConfigError("--limit says how many games to play: give --replay as well")
    to_play: list[Game] = []
    for name in split or find_splits(path):
        games = load_games(path, name)
        compared = verify_checksums(path, name, games) or "no checksums to compare with"
        print(f"{name}: {len(games)} games found, {compared}", flush=True)
        to_play += sample_games(games, limit, seed=0) if limit is not None and limit < len(games) else games
    if not replay:
        return
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results = _replay_with_bar(to_play, workers, str(cache) if cache else None)
    lost = [result for result in results if not result.won]
    for result in lost:
        print(f"not won: {result.split}/{result.game_id}: {result.problem}")
    for name in dict.fromkeys(result.split for result in results):
        of_split = [result for result in results if result.split == name]
        print(f"{name}: won {sum(result.won for result in of_split)}/{len(of_split)}")
    print(f"won {len(results) - len(lost)}/{len(results)}")
    if lost:
        raise typer.Exit(1)


@app.command("export-sft")
def export_sft(
    recipe: Annotated[Path, typer.Argument(help="A recipe: its games and how it prompts.")],
    folder: Annotated[Path, typer.Argument(help="Where to write; empty or missing.")],
    games: Annotated[
        Path | None,
        typer.Option(help="Official games instead of the recipe's: a packed store or $ALFWORLD_DATA."),
    ] = None,
    tasks: Annotated[
        int | None, typer.Option(min=1, help="Games to demonstrate; else as the warmup section says.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
) -> None:
    """Write won expert episodes as a dataset for TRL's SFTTrainer, prompted as the recipe says."""
    from rich.console import Console

    from skill0.training.recipe import load_recipe
    from skill0.training.sft_export import export_recipe

    loaded = load_recipe(recipe, games=str(games) if games else None, seed=seed)
    written = export_recipe(loaded, folder.resolve(), Console(stderr=True), tasks)
    print(f"{written.rows} rows and {written.pages} pages written to {folder}")


def _replay_with_bar(games: list[Game], workers: int, cache_dir: str | None) -> list[ReplayResult]:
    """The bar is on standard error, so that standard output can be read by a program."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from skill0.envs.alfworld import replay_games

    columns = TextColumn("playing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task("playing", total=len(games))

        def show(result: ReplayResult) -> None:
            bar.advance(line)
            if not result.won:  # now, not only at the end: a whole train split takes a while
                bar.console.print(f"not won: {result.split}/{result.game_id}", markup=False, highlight=False)

        return replay_games(games, workers, cache_dir=cache_dir, progress=show)
