"""Where a run's policy comes from: a saved model, or a tiny one built and warmed up in the run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skill0.envs import EnvPool
from skill0.envs.alfworld import generate_games, load_games
from skill0.errors import ConfigError
from skill0.training.demonstrations import Demonstrations, collect_demonstrations
from skill0.training.recipe import Recipe, WarmupSection
from skill0.training.run_folder import write_json
from skill0.training.walkthroughs import collect_walkthroughs
from skill0.training.warmup import warm_up
from skill0.training.world import World, spread

if TYPE_CHECKING:
    from skill0.training.config import Skill0Config

WARMUP_WORKERS = 2
"""Environment processes while demonstrations are collected: translating games is what takes time."""


def prepare_policy(
    recipe: Recipe, world: World, config: Skill0Config, folder: Path, console: Console, state: Any
) -> tuple[Any, Any]:
    """Model and processor to train. The first process builds and warms up, the others wait and load.

    Raises:
        PolicyError: the model cannot be loaded.
        ConfigError: a warm-up is asked for with a model that is not the tiny one.
    """
    from skill0.policy import load_policy

    if recipe.policy.model != "tiny":
        if recipe.warmup is not None:
            raise ConfigError(
                f"warmup is for the tiny policy, not for {recipe.policy.model!r}: remove the section"
            )
        return load_policy(recipe.policy.model)
    if recipe.warmup is None:
        raise ConfigError("policy.model is 'tiny', which knows nothing: the recipe needs a warmup section")
    ready = folder / "warmup" / "policy"
    if state.is_main_process and not (ready / "config.json").is_file():
        _build_and_warm_up(recipe, recipe.warmup, world, config, folder / "warmup", console)
    state.wait_for_everyone()
    return load_policy(ready)


def _build_and_warm_up(
    recipe: Recipe, section: WarmupSection, world: World, config: Skill0Config, folder: Path, console: Console
) -> None:
    from skill0.policy import build_tiny_policy, save_policy

    demonstrations = _demonstrate(recipe, section, world, config, console)
    model, processor = build_tiny_policy(recipe.policy.tiny, demonstrations.lexicon(), recipe.seed)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    console.print(f"tiny Qwen2.5-VL: {parameters / 1e6:.2f} M parameters, {len(processor.tokenizer)} tokens")
    learning = section.learning
    if demonstrations.households is None:
        # Official games have no conventions that a page could state: there is nothing to read aloud.
        learning = replace(learning, reading_steps=0, reading_lessons=0, replayed_lessons=0)
    report = warm_up(model, processor, demonstrations, learning, folder)
    write_json(folder / "report.json", report.to_json())
    # Whole or not at all: a folder named "policy" is taken for a finished warm-up.
    save_policy(model, processor, folder / "policy-in-progress")
    (folder / "policy-in-progress").rename(folder / "policy")


def _demonstrate(
    recipe: Recipe, section: WarmupSection, world: World, config: Skill0Config, console: Console
) -> Demonstrations:
    """Winning episodes: of households with a convention each, or, with official games, of their own plans."""
    settings, agent = section.demonstrations, config.agent_settings()
    env = replace(world.env, max_steps=max(settings.max_steps, world.env.max_steps))
    with EnvPool(env, workers=WARMUP_WORKERS) as pool, console.status("collecting demonstrations"):
        if recipe.environment.games is None:
            households = recipe.environment.households
            games = generate_games(settings.games, recipe.seed, households, None, split="warmup")
            found = collect_demonstrations(
                games, settings, agent, pool, households=households, seed=recipe.seed
            )
        else:
            taken = {task.id for task in world.validation}
            games = [game for game in load_games(recipe.environment.games, "train") if game.id not in taken]
            chosen = spread(games, settings.games, recipe.seed)
            found = collect_walkthroughs(chosen, agent, pool, world.bank, world.grouping, seed=recipe.seed)
    shares = ", ".join(f"{arm} {found.won[arm]}/{found.played[arm]}" for arm in found.played)
    console.print(f"{len(found)} demonstrations, {found.turns} turns; won by arm: {shares}")
    return found
