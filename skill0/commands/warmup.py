"""`skill0 warmup`: only the warm-up of a recipe, into a policy folder."""

from __future__ import annotations

import shlex
from pathlib import Path


def warm_up_policy(
    recipe: Path, output: Path, games: Path | None, seed: int | None, check: int, resume: bool
) -> None:
    """Run the warm-up; the model card quotes this call."""
    from transformers.utils import logging

    from skill0.training.recipe import load_recipe
    from skill0.training.warmup_run import run_warmup

    logging.disable_progress_bar()  # of saving weights
    loaded = load_recipe(recipe, games=None if games is None else str(games), seed=seed)
    words = ["skill0", "warmup", _short(recipe), "--output", _short(output), "--seed", str(loaded.seed)]
    if games is not None:
        words += ["--games", games.name]
    if check:
        words += ["--check", str(check)]
    made_by = {"command": shlex.join(words), "recipe": _short(recipe)}
    run_warmup(loaded, output.resolve(), made_by=made_by, check=check, resume=resume)


def _short(path: Path) -> str:
    """A path as others can type it: relative to this folder where it lies below, else its last part."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name
