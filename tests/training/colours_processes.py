"""A program for tests on several processes: training runs one after another, in one set of processes.

`accelerate launch --config_file FILE colours_processes.py PLAN.json`. Starting Python, torch and a
process group takes longer than training the tiny policy, so a plan holds several runs. Each is a trainer
of its own; it leaves `NAME/policy` (saved weights, or the adapter), and a `NAME/result-RANK.json` of
every process.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

from colours import history, make_trainer
from colours_world import UnevenColours, make_tasks
from transformers import TrainerCallback
from trl.trainer import grpo_trainer
from vllm_stand_in import StandIn

from skill0.errors import Skill0Error
from skill0.training import checkpoints, processes


class At(TrainerCallback):
    """Does something at the beginning of an optimizer step."""

    def __init__(self, step: int, act: Any) -> None:
        self.step, self.act = step, act

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.act()


def be_told(trainer: Any, step: int) -> None:
    """SIGTERM to the last process alone."""
    if trainer.accelerator.is_last_process:
        trainer.add_callback(At(step, partial(os.kill, os.getpid(), signal.SIGTERM)))


def wait_to_be_stopped(trainer: Any, step: int) -> None:
    """Every process says who it is, waits for SIGTERM, and is then left time to hear it again."""

    def wait() -> None:
        number = trainer.accelerator.process_index
        trainer.args.run_folder.mkdir(parents=True, exist_ok=True)
        (trainer.args.run_folder / f"waiting-{number}").write_text(f"{os.getpid()}\n")
        deadline = time.monotonic() + 300
        while not trainer.stop_on_signal.asked and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(5)

    trainer.add_callback(At(step, wait))


def poison(trainer: Any, step: int) -> None:
    """One advantage of the last process becomes infinite at a step."""
    compute = trainer.compute_loss

    def compute_loss(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == step and self.accelerator.is_last_process:
            inputs[0][0].advantage = float("inf")
        return compute(model, inputs, *args, **kwargs)

    trainer.compute_loss = MethodType(compute_loss, trainer)


def fill_disk(trainer: Any, step: int) -> None:
    """The disk becomes full while the last process writes the checkpoint of a step."""
    write = trainer._save_rng_state

    def save(self: Any, folder: str) -> None:
        if self.state.global_step == step and self.accelerator.is_last_process:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder)

    trainer._save_rng_state = MethodType(save, trainer)


def fill_disk_at_end(trainer: Any, step: int, function: str) -> None:
    """The disk becomes full while the main process alone works on the checkpoint of a step: in one of the
    functions of checkpoints.py."""
    write = getattr(checkpoints, function)

    def fails(*arguments: Any) -> None:
        if trainer.state.global_step == step:
            setattr(checkpoints, function, write)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*arguments)

    if trainer.accelerator.is_main_process:
        setattr(checkpoints, function, fails)


def score(trainer: Any, *scores: float) -> None:
    """Evaluations find these successes without skills after 2, 4, ... steps."""

    def evaluate(self: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = {"eval_success_without_skills": scores[self.state.global_step // 2 - 1]}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    trainer.evaluate = MethodType(evaluate, trainer)


ACTS = {
    "told": be_told,
    "waits": wait_to_be_stopped,
    "poison": poison,
    "full_disk": fill_disk,
    "full_disk_at_end": fill_disk_at_end,
    "scores": score,
}


def one_run(policy: str, folder: Path, settings: dict[str, Any]) -> None:
    """Train as the settings say, and write what is left."""
    own = ("resume", "lora", "evaluate_first", "eval_tasks", "uneven", *ACTS)
    taken = {key: settings.pop(key) for key in own if key in settings}
    if "lora" in taken:
        from peft import LoraConfig

        settings["peft_config"] = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    if "eval_tasks" in taken:
        settings["eval_tasks"] = make_tasks(taken["eval_tasks"], "eval")
    if "uneven" in taken:
        settings["env"] = UnevenColours
    if settings.get("use_vllm"):
        grpo_trainer.VLLMGeneration = StandIn
    trainer = make_trainer(Path(policy), folder / "run", **settings)
    for name, act in ACTS.items():
        if name in taken:
            act(trainer, *taken[name])
    if "evaluate_first" in taken:
        trainer.evaluate()
    found: dict[str, Any] = {"error": None, "message": ""}
    try:
        trainer.train(resume_from_checkpoint=taken.get("resume"))
        trainer.save_model(str(folder / "policy"))
    except Skill0Error as error:
        found = {"error": type(error).__name__, "message": str(error)}
    found |= {
        "processes": trainer.accelerator.num_processes,
        "kind": processes.kind(trainer.accelerator),
        "sharded": sharded(trainer),
        "history": history(trainer),
        "step": trainer.state.global_step,
        "best": trainer.state.best_model_checkpoint,
        "played": [len(window) for window in trainer._buffered_inputs or ()],
    }
    if trainer.use_vllm:
        backend = trainer.vllm_generation
        found |= {"calls": backend.calls, "answers": backend.answers, "synchronised": backend.synchronised}
    (folder / f"result-{trainer.accelerator.process_index}.json").write_text(json.dumps(found))
    trainer.accelerator.wait_for_everyone()


def sharded(trainer: Any) -> bool:
    """Whether this process holds but a part of some weight."""
    from torch.distributed.tensor import DTensor

    model = trainer.accelerator.unwrap_model(trainer.model)
    return any(isinstance(weight, DTensor) or hasattr(weight, "ds_numel") for weight in model.parameters())


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    for name, settings in plan["runs"].items():
        folder = Path(plan["folder"]) / name
        folder.mkdir(parents=True, exist_ok=True)
        one_run(plan["policy"], folder, settings)


if __name__ == "__main__":
    main()
    processes.leave_group()
