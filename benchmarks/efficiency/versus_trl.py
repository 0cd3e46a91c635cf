"""The same single-turn round in `Skill0Trainer` and in TRL's own `GRPOTrainer`: time and gradient.

The task is the first turn of a household episode, page and all; its reward is the parity of the action's
hash, and replies are drawn at a temperature at which actions differ, so that groups have spread. Both
trainers are given the samples of one recorded round instead of generating, so that what is compared is
everything else: prompts and pages, rewards, advantages, one forward and backward pass. Both start from the
same weights, with the same accelerated vision tower; nothing is optimised between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from efficiency.seconds import Seconds, take_turns
from skill0.envs import Observation, StepResult, Task
from skill0.training import rounds, trl_internals
from skill0.training.config import Skill0Config
from skill0.training.trainer import Skill0Trainer

OURS, UNSHARED, TRL = "Skill0Trainer", "Skill0Trainer, TRL's forward pass", "GRPOTrainer"


@dataclass(frozen=True)
class FirstTurn:
    """Environments that end with the first action; which actions win follows from their text alone."""

    make_env: Callable[[], Any]

    def __call__(self) -> FirstTurnEnv:
        return FirstTurnEnv(self.make_env())


class FirstTurnEnv:
    def __init__(self, env: Any) -> None:
        self.env = env

    def reset(self, task: Task) -> Observation:
        return self.env.reset(task)

    def step(self, action: str) -> StepResult:
        won = hashlib.sha256(action.encode()).digest()[0] % 2 == 0
        return StepResult(Observation("", ""), float(won), True, False, {"won": won})

    def close(self) -> None:
        self.env.close()


class Recorded:
    """Replies with what another policy replied, call by call."""

    def __init__(self, policy: Any) -> None:
        self.policy, self.outputs = policy, None

    def generate(self, inputs: Any, sampling: Any) -> Any:
        if self.outputs is None:
            self.inputs, self.outputs = inputs, self.policy.generate(inputs, sampling)
        return self.outputs


def measure_versus_trl(
    world: Any, agent: dict[str, Any], load: Callable[[], tuple[Any, Any]], folder: Path,
    *, groups: int, repetitions: int,
) -> dict[str, Any]:  # fmt: skip
    """Seconds of a round in each trainer, and how far their gradients are apart.

    `agent` are the settings of a recipe that shape prompts; `load` gives model and processor anew.
    """
    size = 4 * groups
    shared = {
        "per_device_train_batch_size": size, "num_generations": 4, "steps_per_generation": 1,
        "gradient_accumulation_steps": 1, "max_completion_length": 24, "temperature": 2.0, "beta": 0.0,
        "max_steps": 10**6, "use_cpu": True, "report_to": [], "save_strategy": "no", "seed": 0,
        "loss_type": "grpo", "bf16": False,
    }  # fmt: skip
    model, processor = load()
    args = Skill0Config(
        str(folder / "ours"), **shared, **agent, max_turns=1, turn_micro_batch_size=size,
        success_reward=1.0, invalid_action_penalty=0.0, compression_weight=0.0, env_workers=0,
        activation_checkpointing=False, disable_tqdm=True, budgets=[len(world.bank.names)],
        curriculum_interval=10**6, helpfulness_filter="none",
    )  # fmt: skip
    ours = Skill0Trainer(
        model=model, args=args, env=FirstTurn(world.env), tasks=world.train, skills=world.bank,
        grouping=world.grouping, validation_tasks=world.validation[:2], processing_class=processor,
    )  # fmt: skip
    recorded = ours.loop.policy = Recorded(ours.loop.policy)
    rows = [{"task": place // 4} for place in range(size)]
    windows = rounds.make_round(ours, rows)
    rewards = _rewards(recorded)
    theirs, their_rows = _trl(recorded, rewards, load, folder, shared)
    works = {OURS: lambda: _step(ours, rows), TRL: lambda: _step(theirs, their_rows)}
    with _unshared():
        unshared = _gradient(ours, rows)
    gradients = {OURS: _gradient(ours, rows), UNSHARED: unshared, TRL: _gradient(theirs, their_rows)}

    def ours_unshared() -> None:
        with _unshared():
            _step(ours, rows)

    seconds: dict[str, list[Seconds]] = take_turns({**works, UNSHARED: ours_unshared}, repetitions)
    ours.close()
    largest = gradients[TRL].abs().max().item()
    if largest == 0.0:
        raise SystemExit("no group of the round has any spread: there is no gradient to compare")
    return {
        "seconds": seconds,
        "samples": size,
        "trained": sum(not item.is_padding for batch in windows[0] for item in batch),
        "gradient_largest": largest,
        "gradient_difference": {
            name: (gradients[name] - gradients[TRL]).abs().max().item() for name in (OURS, UNSHARED)
        },
    }


def _rewards(recorded: Recorded) -> list[float]:
    from skill0.agent.reply import parse_reply

    found = []
    for item, output in zip(recorded.inputs, recorded.outputs, strict=True):
        admissible = item.state.observation.admissible
        action = parse_reply(output.text, admissible=admissible, require_think=True).action
        found.append(float(hashlib.sha256(action.encode()).digest()[0] % 2 == 0))
    return found


def _trl(
    recorded: Recorded, rewards: list[float], load: Callable[[], tuple[Any, Any]], folder: Path,
    shared: dict[str, Any],
) -> tuple[Any, list[dict[str, Any]]]:  # fmt: skip
    """TRL's trainer with the recorded samples, and the rows of its round."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    model, processor = load()
    with trl_internals.old_names():
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=[lambda completions, **_: rewards],
            args=GRPOConfig(str(folder / "trl"), **shared, gradient_checkpointing=False, disable_tqdm=True),
            train_dataset=Dataset.from_dict({"prompt": [""] * len(rewards)}),
            processing_class=processor,
        )
    completions = [list(output.completion_ids) for output in recorded.outputs]
    expected = [list(output.prompt_ids) for output in recorded.outputs]

    def generate(prompt_ids: Any, *_: Any, **__: Any) -> Any:
        assert [list(ids) for ids in prompt_ids] == expected, "TRL was shown other prompts"
        return completions, None

    trainer._generate_single_turn = generate
    rows = []
    for item in recorded.inputs:
        system = [{"role": "system", "content": item.system}] if item.system else []
        rows.append(
            {"prompt": [*system, {"role": "user", "content": item.text}], "images": [item.page.image()]}
        )
    return trainer, rows


def _step(trainer: Any, rows: Any) -> None:
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    trainer.training_step(trainer.model, rows, None)
    trainer.model.zero_grad()


def _gradient(trainer: Any, rows: Any) -> torch.Tensor:
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    trainer.model.zero_grad()
    trainer.training_step(trainer.model, rows, None)
    parts = [parameter.grad.flatten() for parameter in trainer.model.parameters()]
    trainer.model.zero_grad()
    return torch.cat(parts).double()


@contextmanager
def _unshared() -> Any:
    share = trl_internals.can_share
    trl_internals.can_share = lambda *_: False
    try:
        yield
    finally:
        trl_internals.can_share = share
