"""Imitating again: the internalization loss over earlier rounds, not the newest alone.

A round shows a few of a bank's facts, and a model that learns others next, or goes on without skills, forgets
them. What was imitated in R earlier rounds (`internalization_replay`) is therefore imitated with each round
again. They are drawn anew for each, from all rounds in which some turn was imitated (the newest
`internalization_memory` of them):

    L = 1 / n * sum over the newest and the drawn rounds of L_int of the round

with n = R + 1, or fewer as long as fewer are remembered.

Gates, weights and denominators stay those of the round that the turns were played in. They are imitation, not
policy gradient: there is no importance ratio that would grow old. SIRI, as far as it is known, has no replay.

What is remembered is part of a checkpoint, one file for all processes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from skill0.agent import Turn
from skill0.context import Page
from skill0.errors import CheckpointError
from skill0.training.checkpoints import write_atomically
from skill0.training.turn_buffer import TrainingTurn, imitation_turn

REPLAY_FILE = "replay.json"

Round = tuple[TrainingTurn, ...]
"""The imitated turns of one round, in one process."""


def with_earlier(newest: Round, earlier: Sequence[Round]) -> list[TrainingTurn]:
    """Turns whose internalization loss is the mean over these rounds, the newest among them even if empty."""
    rounds = (*earlier, newest)
    return [
        imitation_turn(item.turn, item.imitation / len(rounds), item.imitated)
        for played in rounds
        for item in played
    ]


def drawn(memory: Sequence[Round], rounds: int, seed: int) -> list[Round]:
    """So many different rounds of the memory, or all if there are fewer. Processes with the same seed, whose
    memories are of the same rounds, draw the same."""
    return random.Random(seed).sample(memory, min(rounds, len(memory)))


def write_replay(folder: Path, processes: Sequence[Any]) -> None:
    """Write what each process remembers (`to_json`) into a folder, whole or not at all."""
    write_atomically(folder / REPLAY_FILE, json.dumps(processes))


def read_replay(folder: Path, process: int, processes: int) -> tuple[Round, ...]:
    """What one of so many processes remembers. With as many as there were, each gets back its own; with
    another number, the turns are dealt out.

    Raises `CheckpointError` when the file is missing or damaged.
    """
    path = folder / REPLAY_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {REPLAY_FILE}, but internalization_replay is set; resume with the settings "
            "that the checkpoint was written with"
        )
    try:
        saved = [[_round(played) for played in rounds] for rounds in json.loads(path.read_text("utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); resume from an earlier checkpoint") from error
    if len(saved) == processes:
        return tuple(saved[process])
    together = [[item for part in parts for item in part] for parts in zip(*saved, strict=True)]
    return tuple(tuple(played[process::processes]) for played in together)


def to_json(rounds: Sequence[Round]) -> list[list[dict[str, Any]]]:
    """What one process remembers, as JSON data."""
    return [
        [
            {"turn": _turn_as_json(item.turn), "imitation": item.imitation, "imitated": list(item.imitated)}
            for item in played
        ]
        for played in rounds
    ]


def _round(content: Sequence[Mapping[str, Any]]) -> Round:
    return tuple(
        imitation_turn(_turn(item["turn"]), item["imitation"], tuple(item["imitated"])) for item in content
    )


def _turn_as_json(turn: Turn) -> dict[str, Any]:
    """A turn without the state that its prompt was built from: the prompt itself is kept."""
    bare = replace(turn, page=None, state=None)
    shown = None if turn.page is None else turn.page.to_json()
    return {field.name: getattr(bare, field.name) for field in fields(bare)} | {"page": shown}


def _turn(content: Mapping[str, Any]) -> Turn:
    page = content["page"]
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    if page is not None:
        values["page"] = Page.from_json(page)
    return Turn(**values)
