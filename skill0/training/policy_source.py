"""Where a run's policy comes from: a saved model, a shipped one, or a tiny one warmed up in the run folder.

A policy that was saved with its prompts (`agent.json`) has learnt to read those and no others. A run that
prompts it otherwise is refused for shipped policies, whose one virtue is reading, and told for all others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skill0.agent.settings import AGENT_FILE, AgentSettings
from skill0.errors import ConfigError
from skill0.training.model_card import REPORT_FILE
from skill0.training.processes import unsharded
from skill0.training.recipe import TINY, Recipe, WarmupSection
from skill0.training.run_folder import read_json, write_json
from skill0.training.tiny_warmup import warm_up_tiny, warmup_digest
from skill0.training.world import World

if TYPE_CHECKING:
    from skill0.training.config import Skill0Config

_PROMPT_FIELDS = ("template", "skills_in", "history_in", "skill_form", "require_think")
_STYLE_FIELDS = ("cell", "width", "leading", "max_visual_tokens")


def prepare_policy(
    recipe: Recipe, world: World, config: Skill0Config, folder: Path, console: Console, state: Any
) -> str:
    """The name or folder of the model to train, for the trainer to load. The first process builds and warms
    up, the others wait.

    Raises:
        ConfigError: a warm-up is missing, or asked for with a model that has learnt already; a shipped policy
            was warmed up with other prompts than the recipe's.
    """
    if recipe.policy.model != TINY:
        _check_saved(recipe, config.agent_settings(), console)
        return recipe.policy.model
    if recipe.warmup is None:
        raise ConfigError(
            f"policy.model is {TINY!r}, which knows nothing: the recipe needs a warmup section, or a policy "
            "that comes along (policy.model: shipped/household)"
        )
    ready = folder / "warmup" / "policy"
    if state.is_main_process and not (ready / "config.json").is_file():
        _build_and_warm_up(recipe, recipe.warmup, world, config, folder / "warmup", console)
    state.wait_for_everyone()
    return str(ready)


def differing_prompts(ours: AgentSettings, theirs: AgentSettings) -> list[str]:
    """The recipe's keys by which two policies are prompted differently, each with both values.

    How long an episode goes on and what an invalid reply costs are no part of a prompt.
    """
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in _PROMPT_FIELDS}
    if ours.history_in != "none":
        pairs["history_length"] = (ours.history_length, theirs.history_length)
    for name in _STYLE_FIELDS:
        pairs[f"page_{name}"] = (getattr(ours.style, name), getattr(theirs.style, name))
    return [
        f"training.{key} is {our!r}, not {their!r}" for key, (our, their) in pairs.items() if our != their
    ]


def _check_saved(recipe: Recipe, agent: AgentSettings, console: Console) -> None:
    """Prompts and warm-up of a saved policy, against what the recipe says."""
    from skill0.policy.shipped import is_shipped, policy_folder

    name = recipe.policy.model
    if recipe.warmup is not None and not is_shipped(name):
        raise ConfigError(f"warmup is for the tiny policy, not for {name!r}: remove the section")
    folder = policy_folder(name)
    if (folder / AGENT_FILE).is_file():
        differing = differing_prompts(agent, AgentSettings.load(folder))
        if differing and is_shipped(name):
            raise ConfigError(
                f"{name} was warmed up with other prompts than the recipe's: {'; '.join(differing)}. Take "
                f"the prompts of {folder / AGENT_FILE}, or warm up one of your own (policy.model: {TINY})"
            )
        if differing:
            console.print(f"[yellow]{name} was trained with other prompts:[/] {'; '.join(differing)}")
    if recipe.warmup is not None:
        _tell_unused(recipe, recipe.warmup, agent, name, folder, console)


def _tell_unused(
    recipe: Recipe, section: WarmupSection, agent: AgentSettings, name: str, folder: Path, console: Console
) -> None:
    """A warmup section beside a shipped policy says how such weights are made; it is not run."""
    report = folder / REPORT_FILE
    made_by = read_json(report)["warmup_sha256"] if report.is_file() else None
    if made_by == warmup_digest(recipe, section, agent):
        console.print(f"policy: {name}, which this recipe's warmup section made")
    else:
        console.print(
            f"[yellow]policy: {name}; the recipe's warmup section did not make it, and is not run[/]"
        )


def _build_and_warm_up(
    recipe: Recipe, section: WarmupSection, world: World, config: Skill0Config, folder: Path, console: Console
) -> None:
    from skill0.policy import save_policy

    agent = config.agent_settings()
    with unsharded():  # the other processes wait
        made = warm_up_tiny(recipe, section, world, agent, folder, console)
        write_json(folder / "report.json", made.report.to_json())
        # Whole or not at all: a folder named "policy" is taken for a finished warm-up.
        save_policy(made.model, made.processor, folder / "policy-in-progress")
    agent.save(folder / "policy-in-progress")
    (folder / "policy-in-progress").rename(folder / "policy")
