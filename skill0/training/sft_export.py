"""Demonstrations as rows for TRL's `SFTTrainer`: imitation for pretrained models, outside of skill0.

A row is one turn of a won episode: `prompt` (system and user message, the image's place marked), `completion`
(the expert's reply), and its page as an image. With pages the folder is one that `datasets` calls an image
folder: `metadata.jsonl` beside `pages/*.png`; without (skills and history as text) it holds `train.jsonl`.
Either way `datasets.load_dataset(FOLDER, split="train")` gives what `SFTTrainer(train_dataset=...)` takes.

Left out on purpose: training itself, and losses beyond imitation (a tiny policy has those, see warmup.py).
Tests: tests/training/test_sft_export.py, through TRL's own collator and trainer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skill0.agent.policy import PolicyInput
from skill0.context import Page
from skill0.errors import ConfigError
from skill0.training.demonstrations import Demonstrations
from skill0.training.run_folder import check_free

if TYPE_CHECKING:
    from skill0.training.recipe import Recipe

PAGES = "pages"


@dataclass(frozen=True)
class Exported:
    """What was written: rows to `file`, and how many different pages."""

    file: Path
    rows: int
    pages: int


def export_recipe(recipe: Recipe, folder: Path, console: Console, tasks: int | None = None) -> Exported:
    """Collect the demonstrations that a recipe describes, with its prompts, and write them. `tasks` replaces
    the number of games that its warmup section names.

    Raises:
        Skill0Error: as `build_world`, `demonstrate` and `export_sft`.
    """
    from skill0.training.recipe import WarmupSection
    from skill0.training.run import training_config
    from skill0.training.tiny_warmup import demonstrate
    from skill0.training.world import build_world

    check_free(folder)
    section = recipe.warmup or WarmupSection()
    if tasks is not None:
        section = replace(section, demonstrations=replace(section.demonstrations, games=tasks))
    agent = training_config(recipe, folder).agent_settings()
    return export_sft(demonstrate(recipe, section, build_world(recipe), agent, console), folder)


def export_sft(demonstrations: Demonstrations, folder: Path) -> Exported:
    """Write the turns of all episodes, in order; whole or not at all.

    Raises:
        ConfigError: there is something in the folder, or nothing was demonstrated.
    """
    check_free(folder)
    if not len(demonstrations):
        raise ConfigError("no episode was won, so there is nothing to imitate")
    work = folder.parent / f"{folder.name}.in-progress"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    file = work / ("metadata.jsonl" if demonstrations.agent.shows_page else "train.jsonl")
    names: dict[Page, str] = {}
    count = 0
    with file.open("w", encoding="utf-8") as lines:
        for prompt, row in _turns(demonstrations):
            if prompt.page is not None:
                row["images_file_names"] = [_page_file(prompt.page, names, work)]
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    if folder.exists():
        folder.rmdir()
    work.rename(folder)
    return Exported(folder / file.name, count, len(names))


def _turns(demonstrations: Demonstrations) -> Iterator[tuple[PolicyInput, dict[str, Any]]]:
    for episode in demonstrations.episodes:
        task, arm = episode.trajectory.task, ", ".join(episode.trajectory.arm)
        for step, (prompt, choice) in enumerate(zip(episode.prompts, episode.choices, strict=True), 1):
            about = {"task_id": task.id, "task_type": task.task_type, "skills": arm, "turn": step}
            yield prompt, {**sft_row(prompt, choice.reply), **about}


def sft_row(prompt: PolicyInput, reply: str) -> dict[str, Any]:
    """One turn in TRL's conversational prompt-completion form; the image's place stands before the text."""
    user: list[dict[str, str]] = [_text(prompt.text)]
    if prompt.page is not None:
        user.insert(0, {"type": "image"})
    messages = [{"role": "user", "content": user}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": [_text(prompt.system)]})
    return {"prompt": messages, "completion": [{"role": "assistant", "content": [_text(reply)]}]}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _page_file(page: Page, names: dict[Page, str], folder: Path) -> str:
    """The page's PNG, written when it is first seen; named by its pixels."""
    if page not in names:
        image = page.image()
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
        names[page] = f"{PAGES}/{digest[:16]}.png"
        (folder / PAGES).mkdir(exist_ok=True)
        image.save(folder / names[page], "PNG")
    return names[page]
