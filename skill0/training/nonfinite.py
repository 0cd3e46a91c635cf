"""A loss or gradient that is not a finite number: its turns are written out, and every process stops.

Nothing has been learnt from it by then, and nothing saved: the newest checkpoint is from before.

    nonfinite-STEP-RANK.jsonl   in the run folder, a line per turn of the micro-batches concerned

Numbers that JSON does not know stand there as "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from skill0.errors import NonFiniteError
from skill0.training import processes

if TYPE_CHECKING:
    from skill0.training.turn_buffer import TrainingTurn


@dataclass(frozen=True)
class Computed:
    """What a micro-batch came to: its loss, and the log-probabilities of its replies' tokens,
    (turns, longest reply), 0 behind the end of a reply."""

    turns: Sequence[TrainingTurn]
    loss: torch.Tensor
    logprobs: torch.Tensor


def check_loss(trainer: Any, loss: torch.Tensor, computed: Sequence[Computed]) -> None:
    """Raises `NonFiniteError` on every process when the loss of a window is not finite on any of them.

    All processes call this together, before gradients are exchanged.
    """
    fine = bool(torch.isfinite(loss))
    if not processes.any_of(trainer.accelerator, not fine):
        return
    concerned = [item for item in computed if not torch.isfinite(item.loss)]
    # Each may be finite, and their sum not.
    _stop(trainer, f"the loss is {loss.item()}", concerned or (() if fine else computed))


def check_gradient(trainer: Any, norm: Any, computed: Sequence[Computed]) -> None:
    """Raises `NonFiniteError` when the norm of the gradient, which all processes share, is not finite.

    Under float16 that is how a loss scale that was too large shows itself: such a step is skipped.
    """
    if norm is None or trainer.args.fp16 or math.isfinite(float(norm)):
        return
    _stop(trainer, f"the gradient's norm is {float(norm)}", computed)


def _stop(trainer: Any, what: str, computed: Sequence[Computed]) -> None:
    step, rank = trainer.state.global_step, trainer.accelerator.process_index
    where = "another process has the turns"
    if computed:
        path = trainer.args.run_folder / f"nonfinite-{step}-{rank}.jsonl"
        write_turns(path, computed, trainer.encoder.decode)
        where = f"the turns it was computed from are in {path}"
    # No process leaves, and takes its end of the exchange with it, before all have written.
    trainer.accelerator.wait_for_everyone()
    raise NonFiniteError(
        f"step {step}, process {rank}: {what}; {where}. Look there for a log-probability, advantage or "
        "weight that is not finite or very large; else lower the learning rate. Checkpoints are from before "
        "this step"
    )


def write_turns(path: Path, computed: Sequence[Computed], decode: Any) -> None:
    """One JSON object a line: prompt, page, reply and every number that the loss of the turn is made of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for number, item in enumerate(computed):
            for row, training_turn in enumerate(item.turns):
                told = _told(training_turn, item.logprobs[row], decode)
                stream.write(json.dumps({"micro_batch": number, "loss": _number(item.loss), **told}) + "\n")


def _told(item: TrainingTurn, logprobs: torch.Tensor, decode: Any) -> dict[str, Any]:
    turn = item.turn
    found = logprobs[: len(turn.completion_ids)]
    return {
        "padding": item.is_padding,
        "finite": bool(torch.isfinite(found).all()) and math.isfinite(item.advantage * item.weight),
        "prompt": decode(turn.prompt_ids),
        "page": None if turn.page is None else turn.page.text(),
        "reply": turn.reply,
        "reply_ids": list(turn.completion_ids),
        "logprobs": _numbers(found),
        "sampled_logprobs": _numbers(turn.logprobs),
        "old_logprobs": _numbers(item.old_logprobs),
        "reference_logprobs": _numbers(item.reference_logprobs),
        "sampler_ratio": _numbers(item.sampler_ratio),
        "advantage": _number(item.advantage),
        "weight": _number(item.weight),
        "imitation": _number(item.imitation),
    }


def _numbers(values: Any) -> list[float | str] | None:
    return None if values is None else [_number(value) for value in values]


def _number(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)
