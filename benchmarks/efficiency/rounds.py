"""Rounds of a recipe: their time over the floor, the share of environment and rendering, and padding tokens.

The floor of a round is what no trainer could leave out: the same generate calls on prompts that are encoded
already, and the same forward and backward passes, with nothing between. Both are recorded while a round runs
and done again right after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from efficiency.seconds import Seconds, now, seconds_of
from skill0.policy import transformers_policy
from skill0.training import trl_internals


@dataclass
class Recording:
    """What a round computed: arguments of generate calls and of passes (with gradients or not), and tokens
    that the backbone was given while learning, padding included and without."""

    generated: list[tuple[Any, ...]] = field(default_factory=list)
    passes: list[tuple[Any, dict[str, Any], bool]] = field(default_factory=list)
    computed_tokens: int = 0
    real_tokens: int = 0
    listens: bool = True

    def clear(self) -> None:
        self.generated, self.passes = [], []


@contextmanager
def recording(trainer: Any) -> Iterator[Recording]:
    """Records what the trainer computes inside the block."""
    found = Recording()
    generate, score = transformers_policy.generate_replies, trl_internals.token_logprobs

    def generate_replies(model: Any, encoder: Any, inputs: Any, sampling: Any, prompt_ids: Any) -> Any:
        if found.listens:
            found.generated.append((inputs, sampling, prompt_ids))
        return generate(model, encoder, inputs, sampling, prompt_ids)

    def token_logprobs(owner: Any, model: Any, batch: Any, *, entropies: bool = False) -> Any:
        if found.listens:
            found.passes.append((model, batch, torch.is_grad_enabled()))
        return score(owner, model, batch, entropies=entropies)

    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if found.listens and torch.is_grad_enabled():
            ids, mask = kwargs["input_ids"], kwargs["attention_mask"]  # both (rows, columns)
            found.computed_tokens += ids.numel()
            found.real_tokens += int(mask[:, -ids.shape[1] :].sum())

    backbone = trl_internals.bare_model(trainer).model
    hook = backbone.register_forward_pre_hook(count, with_kwargs=True)
    transformers_policy.generate_replies = generate_replies
    trl_internals.token_logprobs = token_logprobs
    try:
        yield found
    finally:
        transformers_policy.generate_replies, trl_internals.token_logprobs = generate, score
        hook.remove()


def run_floor(trainer: Any, found: Recording) -> None:
    """Everything recorded once more, and nothing else."""
    policy = trainer.loop.policy.policy
    model = trl_internals.bare_model(trainer)
    for inputs, sampling, prompt_ids in found.generated:
        transformers_policy.generate_replies(model, policy.encoder, inputs, sampling, prompt_ids)
    for scorer, batch, with_gradient in found.passes:
        with torch.set_grad_enabled(with_gradient):
            logprobs, _ = trl_internals.token_logprobs(trainer, scorer, batch, entropies=with_gradient)
        if with_gradient:
            (logprobs * batch["completion_mask"]).sum().backward()


class Floors(TrainerCallback):
    """Times every round from end to end, and its floor after it. The first round is a warm-up."""

    def __init__(self, trainer: Any, found: Recording) -> None:
        self.trainer, self.found = trainer, found
        self.rounds: list[Seconds] = []
        self.floors: list[Seconds] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if trl_internals.windows_done(self.trainer) % self.trainer.windows_per_round:
            return
        self.rounds.append(now() - self.start)
        self.found.listens = False
        model = trl_internals.bare_model(self.trainer)
        model.zero_grad()
        self.floors.append(seconds_of(lambda: run_floor(self.trainer, self.found)))
        model.zero_grad()
        self.found.listens = True
        self.last = (self.found.generated, self.found.passes)
        self.found.clear()
        self.start = now()


def measure_rounds(trainer: Any, rounds: int) -> dict[str, Any]:
    """Plays one round that does not count and `rounds` that do. `max_steps` of the trainer must be theirs."""
    with recording(trainer) as found:
        floors = Floors(trainer, found)
        trainer.add_callback(floors)
        trainer.train()
    lines = (Path(trainer.args.run_folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "time/generation" in row][1 : rounds + 1]
    return {
        "rounds": floors.rounds[1:],
        "floors": floors.floors[1:],
        "world_share": [_world_share(row, trainer.steps_per_round) for row in rows],
        "padding_share": 1 - found.real_tokens / found.computed_tokens,
        "turns": [row["rollout/turns"] for row in rows],
        "last": floors.last,
    }


def _world_share(row: dict[str, float], steps: int) -> float:
    """Environment and rendering as a share of a round; `step_time` is a mean over its steps."""
    return (row["time/environment"] + row["time/rendering"]) / (row["step_time"] * steps)


def with_pages(items: Any, change: Any) -> list[Any]:
    """Inputs or turns with other objects for pages."""
    return [item if item.page is None else replace(item, page=change(item.page)) for item in items]
