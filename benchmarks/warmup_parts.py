"""What each part of the warm-up brings: the same warm-up without it, and with other prompts, side by side.

    python benchmarks/warmup_parts.py                               # every form, ten minutes to an hour each
    python benchmarks/warmup_parts.py whole no_copying              # only these
    python benchmarks/warmup_parts.py --report --markdown --json warmup_parts.json   # of those played so far

Every form starts from the same seed, and from demonstrations on the same households in its own prompts. It
learns for `--share` of the recipe's steps, and then plays held-out households with the right page, a blank
one and a wrong one, greedily; beside it the expert who searches blindly. One seed each, so read large
differences only. Results are kept below `--output`: a form that is there is not learnt again, one that was
killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from study.table import Table

from skill0.agent import AgentSettings
from skill0.context import HOUSEHOLD
from skill0.envs import EnvPool
from skill0.errors import ConfigError, Skill0Error
from skill0.policy import TransformersPolicy, build_tiny_policy
from skill0.training.reading_check import BLANK, BLIND_EXPERT, RIGHT, WRONG, reading_check
from skill0.training.recipe import Recipe, load_recipe
from skill0.training.run import training_config
from skill0.training.run_folder import read_json, versions, write_json
from skill0.training.taught_worlds import HOUSEHOLDS
from skill0.training.tiny_warmup import demonstrate
from skill0.training.warmup import WarmupSettings, warm_up
from skill0.training.warmup_run import CHECK_SPLIT
from skill0.training.world import build_world

ROOT = Path(__file__).parents[1]
SCHEMA = 1
SHOWN = (RIGHT, BLANK, WRONG, BLIND_EXPERT)
MARKS = ("attention_weight", "naming_weight", "copy_weight", "sighting_weight", "glance_weight")


@dataclass(frozen=True)
class Form:
    """A form of the warm-up: what it is, and how its learning, prompts and vocabulary differ."""

    what: str
    learning: Mapping[str, Any] = field(default_factory=dict)
    prompts: Callable[[AgentSettings], AgentSettings] = lambda settings: settings
    lexicon: Callable[[Sequence[str]], tuple[str, ...]] = tuple


def in_sentences(settings: AgentSettings) -> AgentSettings:
    """Whole skill texts, on a page wide enough for them: 56 characters a line."""
    return replace(settings, skill_form="full", style=replace(settings.style, width=392))


def with_history(settings: AgentSettings) -> AgentSettings:
    return replace(settings, history_in="image")


def without_status(settings: AgentSettings) -> AgentSettings:
    """The observation alone, instead of the line of what an attentive reader knows."""
    told = tuple(part for part in HOUSEHOLD.user if part != "{status}")
    return replace(settings, template=replace(HOUSEHOLD, name="household without status", user=told))


def names_in_parts(lexicon: Sequence[str]) -> tuple[str, ...]:
    """Without the entries "cabinet 2": a name is then its kind and the bytes of its number."""
    return tuple(entry for entry in lexicon if not re.fullmatch(r"\S+ \d+", entry))


FORMS: dict[str, Form] = {
    "whole": Form("the recipe"),
    "no_looking_up": Form("attention to values on the page is not taught", {"attention_weight": 0.0}),
    "no_naming": Form("the fact is not named at its place on the page", {"naming_weight": 0.0}),
    "no_copying": Form("attention to names in the prompt is not taught", {"copy_weight": 0.0}),
    "no_sighting": Form("attention to things in sight is not taught", {"sighting_weight": 0.0}),
    "no_glancing": Form("attention from a word to what asks for it is not taught", {"glance_weight": 0.0}),
    "imitation_only": Form("none of these five", dict.fromkeys(MARKS, 0.0)),
    "no_reading_stage": Form("all steps are of the acting stage", {"reading_steps": 0}),
    "no_replay": Form("no pages are read in the acting stage", {"replayed_lessons": 0}),
    "few_blind_turns": Form("5 instead of 20 turns without skills in each step", {"plain_lessons": 5}),
    "names_in_parts": Form("names such as 'cabinet 2' are several tokens", lexicon=names_in_parts),
    "no_status": Form("no status line in the prompt, the observation alone", prompts=without_status),
    "history": Form("history on the page, below the skills", prompts=with_history),
    "sentences": Form("skills as full sentences, 56 characters a line", prompts=in_sentences),
}


def main() -> int:
    given = arguments()
    console = Console(width=max(150, Console().width))
    try:
        names = chosen(given.forms)
        if not given.report:
            recipe = load_recipe(given.recipe, seed=given.seed)
            for name in names:
                play(name, recipe, given, console)
    except Skill0Error as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    found = {name: read_json(path) for name in names if (path := result_file(given.output, name)).is_file()}
    table = results_table(found)
    if given.markdown:
        print(table.markdown())
    else:
        console.print(table.rich())
        console.print(table.note, style="dim", highlight=False, markup=False)
    if given.json:
        given.json.write_text(json.dumps({"schema": SCHEMA, "forms": found}, indent=1) + "\n")
    return 0


def chosen(names: Sequence[str]) -> list[str]:
    unknown = sorted(set(names) - set(FORMS))
    if unknown:
        raise ConfigError(f"no such form: {', '.join(unknown)}; there are {', '.join(FORMS)}")
    return list(names or FORMS)


def result_file(output: Path, name: str) -> Path:
    return output / name / "result.json"


def play(name: str, recipe: Recipe, given: argparse.Namespace, console: Console) -> None:
    """Learn and check one form, unless its result is there.

    Raises:
        ConfigError: the result that is there was measured otherwise.
    """
    form, path = FORMS[name], result_file(given.output, name)
    asked = {"seed": recipe.seed, "share": given.share, "games": given.games, "tasks": given.tasks}
    if path.is_file():
        if (found := read_json(path)["asked"]) != asked:
            raise ConfigError(f"{path} was measured with {found}, not {asked}: choose another --output")
        return
    console.rule(f"{name}: {form.what}", align="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"asked": asked, **measure(form, recipe, given, path.parent, console)})


def measure(
    form: Form, recipe: Recipe, given: argparse.Namespace, folder: Path, console: Console
) -> dict[str, Any]:
    """Demonstrations, warm-up and check of one form."""
    if recipe.warmup is None:
        raise ConfigError("the recipe has no warmup section")
    games = given.games or recipe.warmup.demonstrations.games
    section = replace(recipe.warmup, demonstrations=replace(recipe.warmup.demonstrations, games=games))
    world = build_world(recipe)
    agent = form.prompts(training_config(recipe, folder).agent_settings())
    shown = demonstrate(recipe, section, world, agent, console)
    names = shown.whole_names()
    model, processor = build_tiny_policy(
        recipe.policy.tiny, form.lexicon(shown.lexicon()), recipe.seed, names=names
    )
    settings = learning(section.learning, form, given.share)
    report = warm_up(model, processor, shown, settings, folder / "checkpoints")
    held_out = HOUSEHOLDS.games(given.tasks, recipe.seed, split=CHECK_SPLIT)
    with EnvPool(world.env) as pool:
        policy = TransformersPolicy(model, processor)
        checked = reading_check(policy, held_out, agent, pool, seed=recipe.seed)
    tokens = checked[RIGHT].summary()
    return {
        "minutes": report.seconds / 60,
        "steps": settings.steps,
        "success": {arm.name: arm.summary()["success"] for arm in checked.arms},
        "tokens_per_turn": [tokens["text_tokens_per_turn"], tokens["visual_tokens_per_turn"]],
        "versions": versions(),
    }


def learning(settings: WarmupSettings, form: Form, share: float) -> WarmupSettings:
    """A share of the recipe's steps, changed as the form asks. All forms learn equally long."""
    reading, acting = (round(share * steps) for steps in (settings.reading_steps, settings.acting_steps))
    changed = {"reading_steps": reading, **form.learning}
    return replace(settings, acting_steps=reading + acting - changed["reading_steps"], **changed)


def results_table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, result in found.items():
        text, visual = result["tokens_per_turn"]
        success = [per_cent(result["success"][arm]) for arm in SHOWN]
        rows.append(
            (name, FORMS[name].what, *success, f"{text:.0f} + {visual:.0f}", f"{result['minutes']:.1f}")
        )
    return Table(
        "Warm-up, part by part",
        ("form", "what", *SHOWN, "tokens a turn", "minutes of learning"),
        tuple(rows),
        "Success on held-out households in % [95 %, Wilson], greedy. Tokens: text + visual, right page.",
    )


def per_cent(success: Mapping[str, float]) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * success[name] for name in ("rate", "low", "high")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("forms", nargs="*", metavar="FORM", help=f"some of {', '.join(FORMS)}; default all")
    parser.add_argument("--recipe", type=Path, default=ROOT / "curricula" / "household_cpu.yaml")
    parser.add_argument("--share", type=float, default=0.5, help="of the recipe's steps (default 0.5)")
    parser.add_argument("--games", type=int, default=240, help="households to demonstrate (default 240)")
    parser.add_argument("--tasks", type=int, default=100, help="held-out households of the check")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "warmup_parts")
    parser.add_argument("--report", action="store_true", help="learn nothing, tell what is there")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
