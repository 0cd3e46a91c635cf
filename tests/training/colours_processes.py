"""A program for tests on several processes: training runs one after another, in one set of processes.

`accelerate launch --config_file FILE colours_processes.py PLAN.json`. Starting Python, torch and a process group
takes longer than training the tiny policy, so a plan holds several runs. Each run is a trainer of its own; it
leaves `NAME/policy` (saved weights or adapter) and `NAME/result.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from colours import history, make_trainer
from colours_world import make_tasks


def lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "v_proj"])


def one_run(policy: str, folder: Path, settings: dict[str, Any]) -> None:
    """Train as the settings say, and write what is left."""
    own = ("resume", "lora", "evaluate_first", "eval_tasks")
    resume, with_lora, evaluate_first, eval_tasks = (settings.pop(key, None) for key in own)
    if with_lora:
        settings["peft_config"] = lora()
    if eval_tasks:
        settings["eval_tasks"] = make_tasks(eval_tasks, "eval")
    trainer = make_trainer(policy, folder / "run", **settings)
    if evaluate_first:
        trainer.evaluate()
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model(str(folder / "policy"))
    if trainer.accelerator.is_main_process:
        from skill0.training import processes

        found = {
            "processes": trainer.accelerator.num_processes,
            "kind": processes.kind(trainer.accelerator),
            "history": history(trainer),
            "step": trainer.state.global_step,
            "best": trainer.state.best_model_checkpoint,
        }
        (folder / "result.json").write_text(json.dumps(found))
    trainer.accelerator.wait_for_everyone()


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    for name, settings in plan["runs"].items():
        folder = Path(plan["folder"]) / name
        folder.mkdir(parents=True, exist_ok=True)
        one_run(plan["policy"], folder, settings)


if __name__ == "__main__":
    main()
