"""A Qwen2.5-VL of 3 billion parameters with random weights, trained for a few steps on one accelerator.

    python benchmarks/gpu_training.py                       # full fine-tuning, then LoRA
    python benchmarks/gpu_training.py --tuning lora --episodes 128 --turns 4 --json gpu.json
    python benchmarks/gpu_training.py --size tiny --device cpu --episodes 8   # the same program in small

Both compute in bfloat16, as a recipe with `bf16: true` does. Full fine-tuning has float32 weights: 16 bytes a
parameter with gradients and moments, 60 GB. LoRA has frozen weights of 16 bits (`model_init_kwargs: {dtype:
bfloat16}`) and its own in float32.

The model is built from its configuration: nothing is downloaded. Its tokenizer is a small one of ours, whose
ids are the first of the 151 936. Random weights hardly ever end a reply, so replies have `--tokens` tokens;
episodes have `--turns` turns in an environment that answers at once. Every turn is learnt from. FLOPs are
those of `model_flops`: what a step cannot do without, so recomputing activations lowers the utilisation.

Left out: vLLM, several accelerators, and replies of realistic text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from skill0.envs import Observation, StepResult, Task
from skill0.policy import TinyPolicySettings, build_tiny_policy
from skill0.policy.adapters import LoraSettings, adapter_config
from skill0.skills import Skill, SkillBank, SkillFile

QWEN_3B = {
    "text": {
        "vocab_size": 151936, "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "intermediate_size": 11008, "max_position_embeddings": 32768,
        "layer_types": ["full_attention"] * 36, "max_window_layers": 36,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision": {
        "depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420,
        "out_hidden_size": 2048, "fullatt_block_indexes": [7, 15, 23, 31], "window_size": 112,
    },
}  # fmt: skip
"""What the published Qwen2.5-VL-3B's configuration says, where it differs from the tiny policy's."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("3b", "tiny"), default="3b")
    parser.add_argument("--tuning", choices=("full", "lora", "both"), default="both")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--episodes", type=int, default=128, help="of a round, in groups of 8")
    parser.add_argument("--turns", type=int, default=4, help="of an episode")
    parser.add_argument("--tokens", type=int, default=128, help="of a reply")
    parser.add_argument("--micro-batch", type=int, default=8, help="turns of one forward pass")
    parser.add_argument("--rounds", type=int, default=2, help="that count, after one that does not")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep activations")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bfloat16 peak (H100: 989)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; try --size tiny --device cpu")
    found = []
    for tuning in ("full", "lora") if arguments.tuning == "both" else (arguments.tuning,):
        found.append(measure(arguments, tuning))
    show(found, Console())
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Corridor:
    """An environment of `turns` turns. The parity of the last action's hash decides who wins."""

    turns = 4

    def reset(self, task: Task) -> Observation:
        self.task, self.left = task, self.turns
        return Observation(f"You are in corridor {task.payload}.", task.instruction, ("go on", "look"))

    def step(self, action: str) -> StepResult:
        self.left -= 1
        won = hashlib.sha256(action.encode()).digest()[0] % 2 == 0
        observation = Observation(
            f"The corridor goes on, {self.left} doors.", self.task.instruction, ("go on",)
        )
        return StepResult(observation, float(won), False, self.left == 0, {"won": won})

    def close(self) -> None:
        pass


def build(size: str, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model with random weights, of this dtype where it is not tiny, and processor."""
    words = ["corridor ", "door ", "go on", "look", "You are in ", "The corridor goes on, ", " doors."]
    tiny, processor = build_tiny_policy(TinyPolicySettings(), words, seed=0)
    if size == "tiny":
        return tiny.to(device), processor
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    base = tiny.config.to_dict()
    text = {**base["text_config"], **QWEN_3B["text"]}
    vision = {**base["vision_config"], **QWEN_3B["vision"]}
    config = Qwen2_5_VLConfig(**{**base, "text_config": text, "vision_config": vision})
    config.dtype = dtype
    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)
    model.generation_config = tiny.generation_config
    return model, processor


def bank() -> SkillBank:
    """One skill file of a dozen skills: a page of a realistic size."""
    skills = tuple(
        Skill(f"rule {number}", f"At door {number}, look before you go on, and go on after.", "", "")
        for number in range(12)
    )
    return SkillBank((SkillFile("corridors", "corridors", skills, ("corridor",)),))


def measure(arguments: argparse.Namespace, tuning: str) -> dict[str, Any]:
    from transformers import PrinterCallback

    from skill0.training.config import Skill0Config
    from skill0.training.trainer import Skill0Trainer

    on_gpu = arguments.device != "cpu"
    frozen = tuning == "lora"
    model, processor = build(arguments.size, arguments.device, torch.bfloat16 if frozen else torch.float32)
    tasks = [Task(f"corridor-{n}", "corridor", "corridor", f"Leave corridor {n}.", n) for n in range(64)]
    adapter = adapter_config(LoraSettings(rank=16, alpha=32)) if frozen else None
    Corridor.turns = arguments.turns
    with tempfile.TemporaryDirectory() as folder:
        config = Skill0Config(
            folder, per_device_train_batch_size=arguments.episodes,
            num_generations=min(8, arguments.episodes),
            max_completion_length=arguments.tokens, max_steps=arguments.rounds + 1, max_turns=arguments.turns,
            turn_micro_batch_size=arguments.micro_batch, generation_batch_limit=arguments.episodes,
            learning_rate=1e-6, bf16=on_gpu, use_cpu=not on_gpu, env_workers=0, save_strategy="no",
            report_to=[], disable_tqdm=True, activation_checkpointing=not arguments.no_checkpointing,
            # Without it, turns of groups without spread would be left out; and nothing is validated.
            entropy_coef=1e-9, budgets=[1], curriculum_interval=10**6, helpfulness_filter="none",
        )  # fmt: skip
        trainer = Skill0Trainer(
            model=model, args=config, env=Corridor, tasks=tasks, skills=bank(), processing_class=processor,
            validation_tasks=tasks[:2], peft_config=adapter,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
        rows = [row for row in trainer.state.log_history if "time/generation" in row][1:]
    work = sum((work_of(row) for row in rows), Work(0.0, 0.0, 0.0))
    flops = model_flops(trl_model(trainer), work, frozen)
    seconds = {
        name: sum(row[f"time/{name}"] for row in rows) / len(rows)
        for name in ("environment", "rendering", "generation", "learning")
    }
    step = sum(row["step_time"] for row in rows) / len(rows)
    seconds["credit and scoring"] = step - sum(seconds.values())
    utilisation = flops / len(rows) / seconds["learning"] / (arguments.peak_tflops * 1e12)
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "torch": torch.__version__,
        "size": arguments.size,
        "tuning": tuning,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "generated tokens a second": work.written / len(rows) / seconds["generation"],
        "seconds of a step": step,
        "seconds": seconds,
        "dominates": max(seconds, key=lambda name: seconds[name]),
        "model-FLOPs utilisation in learning": utilisation if on_gpu else None,
        "peak memory in GB": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
    }


def trl_model(trainer: Any) -> Any:
    from skill0.training import trl_internals

    return trl_internals.bare_model(trainer)


@dataclass(frozen=True)
class Work:
    """What is learnt from: tokens of prompts (visual ones included), tokens of replies, visual tokens."""

    read: float
    written: float
    visual: float

    def __add__(self, other: Work) -> Work:
        return Work(self.read + other.read, self.written + other.written, self.visual + other.visual)


def work_of(row: dict[str, float]) -> Work:
    """The work of a round, from its row of metrics."""
    turns = row["rollout/turns"]
    visual = turns * row["context/visual_tokens"]
    text = turns * row["context/text_tokens"]
    return Work(text + visual, turns * row["completions/mean_length"], visual)


def model_flops(model: Any, work: Work, adapter: bool) -> float:
    """Floating-point operations of forward and backward passes over matrix products with weights.

    A weight takes 2 operations a token forward, 2 for the gradient of its input and 2 for its own. A frozen
    weight (under an adapter) takes no gradient of its own, and a frozen vision tower none at all. The LM head
    counts for reply tokens alone; attention between tokens is left out: with prompts of a few hundred tokens
    it is a few percent.
    """
    linear: dict[str, float] = {"vision": 0.0, "merger": 0.0, "text": 0.0, "head": 0.0}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or "lora_" in name or "embed_tokens" in name:
            continue
        if "lm_head" in name:
            part = "head"
        elif "visual" in name:
            part = "merger" if "merger" in name else "vision"
        else:
            part = "text"
        linear[part] += parameter.numel()
    text = model.config.get_text_config()
    linear["head"] = text.vocab_size * text.hidden_size  # tied to the embedding or not
    patches = 4 * work.visual
    tower = 2.0 if adapter else 6.0
    others = 4.0 if adapter else 6.0
    return (
        tower * (linear["vision"] * patches + linear["merger"] * work.visual)
        + others * linear["text"] * (work.read + work.written)
        + others * linear["head"] * work.written
    )


def show(found: list[dict[str, Any]], console: Console) -> None:
    table = Table(
        title=f"{found[0]['device']}, torch {found[0]['torch']}, {found[0]['size']}", title_justify="left"
    )
    table.add_column("")
    for one in found:
        table.add_column(one["tuning"], justify="right")
    for key in ("parameters", "generated tokens a second", "seconds of a step", "dominates",
                "model-FLOPs utilisation in learning", "peak memory in GB"):  # fmt: skip
        values = [one[key] for one in found]
        table.add_row(key, *("-" if v is None else v if isinstance(v, str) else f"{v:,.3g}" for v in values))
    for phase in found[0]["seconds"]:
        table.add_row(f"seconds: {phase}", *(f"{one['seconds'][phase]:.2f}" for one in found))
    console.print(table)


if __name__ == "__main__":
    main()
