"""A tiny policy for tests of the trainer, and a program that trains it in its own process.

The policy is a real Qwen2.5-VL of some fifty thousand parameters that has been shown the form of a reply, and
says red or blue at random. Its world is in colours_world.py.

As a program: `python colours.py policy FOLDER` makes the policy, `python colours.py train SETTINGS.json`
trains it and writes what the test compares. With the setting `reader` a scripted policy plays (its arguments
are the setting's); with `together` processes make their generate calls together.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from colours_reader import use_reader
from colours_world import WORDS, Colours, PatientColours, make_bank, make_tasks
from transformers import TrainerCallback

torch.set_num_threads(1)  # a model this small is slower on more

REPLIES = tuple(f"<think>now</think><action>{word}</action>" for word in WORDS.values())


def make_policy(folder: Path) -> None:
    """Build the tiny policy, teach it the form of a reply by imitation, and save it."""
    from skill0.agent.policy import PolicyInput
    from skill0.agent.trajectory import Turn
    from skill0.policy import PromptEncoder, TinyPolicySettings, build_tiny_policy, save_policy
    from skill0.training.turn_batching import collate_turns

    settings = TinyPolicySettings(
        hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=2, intermediate_size=64,
        vision_width=16, vision_heads=2, vision_intermediate_size=32,
    )  # fmt: skip
    words = (*WORDS, *WORDS.values(), "say the ", " word.", "a colour?", "no.", "now")
    model, processor = build_tiny_policy(settings, words, seed=3)
    encoder = PromptEncoder(processor)
    inputs = inputs_like_the_loops()
    batch = [(item, reply) for item in inputs for reply in REPLIES]

    def turn(item: PolicyInput, reply: str) -> Turn:
        ids = processor.tokenizer(reply, add_special_tokens=False)["input_ids"]
        completion = (*ids, encoder.eos_token_id)
        return Turn(
            encoder.encode(item), completion, None, item.page, (), "", reply, "", None, True, 0.0, 0, 0
        )

    tensors = collate_turns(
        [turn(item, reply) for item, reply in batch],
        pad_token_id=encoder.pad_token_id,
        image_token_id=encoder.image_token_id,
    )
    ids = torch.cat([tensors["prompt_ids"], tensors["completion_ids"]], dim=1)
    mask = torch.cat([tensors["prompt_mask"], tensors["completion_mask"]], dim=1)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, : tensors["prompt_ids"].shape[1]] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = model(
            input_ids=ids, attention_mask=mask, labels=labels, pixel_values=tensors["pixel_values"],
            image_grid_thw=tensors["image_grid_thw"], mm_token_type_ids=tensors["mm_token_type_ids"],
        ).loss  # fmt: skip
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_policy(model, processor, folder)


def inputs_like_the_loops() -> list[Any]:
    """First and second prompts of a warm and a cold task, with and without skills."""
    from skill0.agent.policy import EpisodeState, PastTurn
    from skill0.agent.prompting import build_input
    from skill0.context import ContextRenderer

    settings = make_config("unused").agent_settings()
    bank, env = make_bank(), Colours()
    return [
        build_input(
            settings,
            ContextRenderer(),
            EpisodeState(
                task, env.reset(task), skills=skills, history=(PastTurn("a colour?", "red"),) * turns
            ),
            1.0,
            0,
        )
        for task in make_tasks(2)
        for skills in ((), (bank[task.task_type],))
        for turns in (0, 1)
    ]


def make_config(output_dir: str | Path, **changes: Any) -> Any:
    """Small and quick: 4 tasks x 4 trajectories a round, one optimizer step each, on the CPU."""
    from skill0.training.config import Skill0Config

    settings: dict[str, Any] = {
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 8,
        "max_steps": 4,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "num_stages": 2,
        "curriculum_interval": 2,
        "num_validation_tasks": 4,
        "max_turns": 3,
        "template": "household",
        "page_cell": "4x8",
        "page_width": 112,
        "skill_form": "brief",
        "success_reward": 1.0,
        "env_workers": 0,
        "turn_micro_batch_size": 16,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "activation_checkpointing": False,
        "disable_tqdm": True,
        "seed": 0,
    }
    return Skill0Config(output_dir=str(output_dir), **{**settings, **changes})


def make_trainer(policy: Path, output_dir: str | Path, **changes: Any) -> Any:
    """A trainer; `changes` are arguments of the trainer if it has them, else settings."""
    from skill0.training.trainer import Skill0Trainer

    own = ("env", "tasks", "skills", "validation_tasks", "eval_tasks", "curriculum", "peft_config", "model",
           "processing_class", "grouping", "callbacks")  # fmt: skip
    arguments = {key: changes.pop(key) for key in own if key in changes}
    tasks = make_tasks(changes.pop("num_tasks", 16))
    return Skill0Trainer(
        **{
            "model": str(policy),
            "args": make_config(output_dir, **changes),
            "env": PatientColours,
            "tasks": tasks,
            "skills": make_bank(),
            **arguments,
        }
    )


def parameters(trainer: Any) -> torch.Tensor:
    """All parameters as one vector."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()])


def history(trainer: Any) -> list[dict[str, Any]]:
    """The rows of metrics of training steps, without anything that depends on the clock."""
    clock = ("time/", "step_time", "train_", "epoch")
    rows = [row for row in trainer.state.log_history if "loss" in row]
    return [{key: value for key, value in row.items() if not key.startswith(clock)} for row in rows]


class Killer(TrainerCallback):
    """Kills its own process, as `kill -9` does: at the end of step `step`, or while saving there."""

    def __init__(self, when: str, step: int) -> None:
        self.when, self.step = when, step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step != self.step:
            return
        if self.when == "saving":
            from skill0.training import checkpoints

            checkpoints.write_state = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    what, argument = sys.argv[1], Path(sys.argv[2])
    if what == "policy":
        make_policy(argument)
        return
    settings = json.loads(argument.read_text())
    own = ("resume", "results", "kill", "reader", "together")
    resume, results, kill, reader, together = (settings.pop(key, None) for key in own)
    trainer = make_trainer(settings.pop("policy"), settings.pop("output_dir"), **settings)
    if together:  # as with weights that are split over processes, which generate together or not at all
        from skill0.training import trl_internals

        trl_internals.generates_together = lambda trainer: True
    if reader:
        use_reader(trainer, **reader)
    if kill:
        trainer.add_callback(Killer(*kill))
    trainer.train(resume_from_checkpoint=resume)
    if trainer.accelerator.is_main_process:
        torch.save(parameters(trainer), f"{results}.pt")
        found = {
            "processes": trainer.accelerator.num_processes,
            "active": list(trainer.curriculum.active),
            "timeline": [change.to_json() for change in trainer.curriculum.timeline],
            "history": history(trainer),
            "step": trainer.state.global_step,
        }
        Path(f"{results}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
    from skill0.training.processes import leave_group

    leave_group()
