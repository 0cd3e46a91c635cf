"""A tiny policy from nothing: demonstrations are collected, a model is built over their words, and warmed up.

What is demonstrated follows from the recipe: generated households, with a convention each, by the searching
expert; official train games by one that knows where such things usually are. Left out: how lessons are made
and learnt (warmup.py).
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from skill0.agent import AgentSettings
from skill0.envs import EnvPool
from skill0.envs.alfworld import Game, load_games
from skill0.envs.search import SearchEnvFactory
from skill0.errors import ConfigError
from skill0.training.corrections import CORRECTED, CorrectionSettings, collect_corrections, together
from skill0.training.demonstrations import Demonstrations, collect_demonstrations
from skill0.training.official_demonstrations import collect_official_demonstrations
from skill0.training.recipe import Recipe, WarmupSection
from skill0.training.taught_worlds import taught_world
from skill0.training.warmup import WarmupReport, WarmupSettings, warm_up
from skill0.training.world import World, spread

WORKERS = 2
"""Environment processes while demonstrations are collected: translating games is what takes time."""


@dataclass(frozen=True)
class WarmedUp:
    """A policy that has been warmed up, what it learnt from, and how that went."""

    model: Any
    processor: Any
    demonstrations: Demonstrations
    report: WarmupReport
    collecting_seconds: float

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def to_json(self) -> dict[str, Any]:
        """What `warmup_report.json` tells of it; `learning` has the curve of losses and right answers."""
        shown = self.demonstrations
        return {
            "parameters": self.parameters,
            "tokens": len(self.processor.tokenizer),
            "demonstrations": {
                "episodes": len(shown),
                "turns": shown.turns,
                "played": dict(shown.played),
                "won": dict(shown.won),
            },
            "learning": asdict(self.report),
        }


def warmup_digest(recipe: Recipe, section: WarmupSection, agent: AgentSettings) -> str:
    """sha256 over all that sets one warm-up apart from another, but for the seed: households or games, the
    policy's shape, what is demonstrated and how it is learnt, and the prompts."""
    environment = recipe.as_dict()["environment"]
    prompts = asdict(replace(agent, max_steps=1, invalid_action_penalty=0.0))
    learnt = {name: value for name, value in asdict(section).items() if value}
    # Settings that came later leave the digest as it was where they change nothing.
    prompts["style"] = _but(prompts["style"], {"joiner": None, "compression": "atlas", "shrink": 1.0})
    learnt["learning"] = _but(learnt["learning"], {"passing_weight": 0.0})
    content = {
        "environment": _told_apart(environment),
        "tiny": asdict(recipe.policy.tiny),
        "warmup": learnt,
        # How long the run's own episodes are, and what they cost, is no part of the prompts.
        "agent": prompts,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _but(settings: dict[str, Any], unchanged: dict[str, Any]) -> dict[str, Any]:
    """The settings without those that have these values."""
    return {
        name: value for name, value in settings.items() if name not in unchanged or value != unchanged[name]
    }


def _told_apart(environment: dict[str, Any]) -> Any:
    """What of a recipe's environment sets its warm-up apart."""
    if "almanac" in environment:
        return {"almanac": environment["almanac"]}
    return environment["households"] if environment.pop("games") is None else environment


def demonstrate(
    recipe: Recipe, section: WarmupSection, world: World, agent: AgentSettings, console: Console
) -> Demonstrations:
    """Winning episodes: in a taught world with a convention each (of the section's task types, or of all that
    the recipe has), or of official train games.

    Raises:
        EnvError, GameError: a game cannot be played.
        ConfigError: households of the recipe's kind have no such task type; nobody demonstrates this world.
    """
    settings = section.demonstrations
    with _pool(world, settings.max_steps) as pool, console.status("collecting demonstrations"):
        taught = taught_world(recipe.environment)
        if taught is not None:
            demonstrated = taught.only(section.task_types) if section.task_types else taught
            games = demonstrated.games(settings.games, recipe.seed, split="warmup")
            found = collect_demonstrations(games, settings, agent, pool, world=taught, seed=recipe.seed)
        else:
            games = demonstrated_games(recipe, settings.games, world)
            found = collect_official_demonstrations(
                games, settings, agent, pool, world.bank, world.grouping, seed=recipe.seed
            )
    shares = ", ".join(f"{arm} {found.won[arm]}/{found.played[arm]}" for arm in found.played)
    console.print(f"{len(found)} demonstrations, {found.turns} turns; won by arm: {shares}")
    return found


def demonstrated_games(recipe: Recipe, count: int, world: World) -> list[Game]:
    """Official train games, the first `count` of a fixed order, but none that the run validates with."""
    taken = {task.id for task in world.validation}
    games = [game for game in load_games(str(recipe.environment.games), "train") if game.id not in taken]
    return spread(games, count, recipe.seed)


def _pool(world: World, max_steps: int) -> EnvPool:
    if isinstance(world.env, SearchEnvFactory):
        raise ConfigError(
            "environment.search has no warm-up: nobody demonstrates open questions; take a model that has "
            "learnt already (policy.model), or the almanac (environment.almanac)"
        )
    return EnvPool(replace(world.env, max_steps=max(max_steps, world.env.max_steps)), workers=WORKERS)


def warm_up_tiny(
    recipe: Recipe,
    section: WarmupSection,
    world: World,
    agent: AgentSettings,
    folder: Path,
    console: Console,
    *,
    resume: bool = True,
) -> WarmedUp:
    """Build the recipe's tiny policy and warm it up. Checkpoints go to `folder`, and are taken up there.

    Raises:
        EnvError, GameError: demonstrations cannot be collected.
        ConfigError: the settings ask for lessons that nobody demonstrated, for more games than there are, or
            for corrections where no expert makes them.
        CheckpointError: a checkpoint is damaged, belongs to another warm-up, or cannot be written.
    """
    from skill0.policy import build_tiny_policy

    if section.corrections is not None and taught_world(recipe.environment) is not None:
        raise ConfigError(
            "warmup.corrections are made on official games alone (environment.games): remove them, or name "
            "games"
        )
    start = time.perf_counter()
    shown = demonstrate(recipe, section, world, agent, console)
    seconds = time.perf_counter() - start
    model, processor = build_tiny_policy(
        recipe.policy.tiny, shown.lexicon(), recipe.seed, names=shown.whole_names()
    )
    learning = section.learning
    if shown.world is None:
        # Official games have no conventions that a page could state: there is nothing to read aloud.
        learning = replace(learning, reading_steps=0, reading_lessons=0, replayed_lessons=0)
        if learning != section.learning:
            console.print("no pages of facts are read: official games have no conventions")
    found = WarmedUp(model, processor, shown, WarmupReport(), seconds)
    console.print(
        f"tiny Qwen2.5-VL: {found.parameters / 1e6:.2f} M parameters, {len(processor.tokenizer)} tokens"
    )
    report = warm_up(model, processor, shown, learning, folder, resume=resume, progress=not console.quiet)
    found = replace(found, report=report)
    if section.corrections is None:
        return found
    for number in range(section.corrections.rounds):
        found = _correct(
            found, section.corrections, number, learning, recipe, world, folder, console, resume=resume
        )
    return found


def _correct(
    found: WarmedUp,
    settings: CorrectionSettings,
    number: int,
    learning: WarmupSettings,
    recipe: Recipe,
    world: World,
    folder: Path,
    console: Console,
    *,
    resume: bool,
) -> WarmedUp:
    """One round of corrections, from 0, and the warm-up after it. Its checkpoints go to
    `folder/corrections-ROUND`, from 1."""
    from skill0.policy import TransformersPolicy

    start = time.perf_counter()
    model, processor, shown = found.model, found.processor, found.demonstrations
    games = demonstrated_games(recipe, settings.games * (number + 1), world)[settings.games * number :]
    if not games:
        raise ConfigError(
            f"warmup.corrections: no train games are left for round {number + 1} of {settings.rounds}, with "
            f"{settings.games} in each; take fewer rounds or games"
        )
    policy = TransformersPolicy(model, processor)
    with _pool(world, settings.max_steps) as pool, console.status("collecting corrections"):
        corrected = collect_corrections(
            games,
            policy,
            settings,
            shown.agent,
            pool,
            max_new_tokens=recipe.training["max_completion_length"],
            seed=recipe.seed,
        )
    seconds = found.collecting_seconds + time.perf_counter() - start
    console.print(
        f"{corrected.turns} corrections of {len(corrected)} episodes, won {corrected.won[CORRECTED]}"
    )
    shown = together(shown, corrected)
    again = replace(
        learning,
        acting_steps=settings.steps,
        learning_rate=settings.learning_rate,
        decay=1.0,
        seed=learning.seed + number,
    )
    report = warm_up(
        model,
        processor,
        shown,
        again,
        folder / f"corrections-{number + 1}",
        resume=resume,
        progress=not console.quiet,
        new=False,
    )
    return replace(found, demonstrations=shown, collecting_seconds=seconds, report=found.report.then(report))
