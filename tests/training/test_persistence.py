"""A trainer's checkpoints: real weights in, real weights out, and errors that say what does not fit."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import make_trainer, parameters
from colours_processes import score
from colours_world import make_bank, make_tasks

from skill0.errors import CheckpointError, ConfigError
from skill0.skills import SkillBank
from skill0.training.persistence import load_weights

SAVING: dict[str, Any] = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1, "max_grad_norm": 1.0}


@pytest.fixture(scope="module")
def run(colours_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    trainer = make_trainer(colours_policy, tmp_path_factory.mktemp("run"), **SAVING)
    trainer.train()
    return trainer


def test_a_checkpoint_loads_with_plain_transformers(run: Any) -> None:
    from transformers import AutoModelForImageTextToText

    loaded = AutoModelForImageTextToText.from_pretrained(run.args.run_folder / "checkpoint-2")
    assert torch.equal(
        torch.cat([p.detach().double().flatten() for p in loaded.parameters()]), parameters(run)
    )


def test_resuming_really_loads_the_weights(run: Any, colours_policy: Path) -> None:
    other = make_trainer(colours_policy, run.args.run_folder, **SAVING)
    start = parameters(other)
    assert not torch.equal(start, parameters(run))
    other._load_from_checkpoint(str(run.args.run_folder / "checkpoint-2"))
    assert torch.equal(parameters(other), parameters(run))


def test_a_reference_that_moves_is_saved_and_found_again(colours_policy: Path, tmp_path: Path) -> None:
    moving = {
        **SAVING,
        "beta": 0.05,
        "sync_ref_model": True,
        "ref_model_sync_steps": 1,
        "ref_model_mixup_alpha": 1.0,
    }
    trainer = make_trainer(colours_policy, tmp_path, **moving)
    trainer.train()

    def reference(of: Any) -> torch.Tensor:
        return torch.cat([p.detach().double().flatten() for p in of.ref_model.parameters()])

    assert torch.equal(reference(trainer), parameters(trainer))  # taken over whole, after the last step
    other = make_trainer(colours_policy, tmp_path, **moving)
    assert not torch.equal(reference(other), reference(trainer))
    other._load_from_checkpoint(str(trainer.args.run_folder / "checkpoint-2"))
    assert torch.equal(reference(other), reference(trainer))


def test_a_checkpoint_without_the_reference_is_refused(
    run: Any, colours_policy: Path, tmp_path: Path
) -> None:
    moving = make_trainer(colours_policy, tmp_path, **SAVING, beta=0.05, sync_ref_model=True)
    with pytest.raises(CheckpointError, match="holds no reference policy, but sync_ref_model=True moves it"):
        moving._load_from_checkpoint(str(run.args.run_folder / "checkpoint-2"))


def test_bfloat16_weights_come_back_exactly(run: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(
        run.args.run_folder / "checkpoint-2", dtype=torch.bfloat16
    )
    model.save_pretrained(tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    load_weights(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.dtype == torch.bfloat16


def test_weights_of_another_model_are_refused(run: Any, tmp_path: Path, colours_policy: Path) -> None:
    from safetensors.torch import load_file, save_file

    from skill0.policy import load_policy

    folder = tmp_path / "broken"
    shutil.copytree(run.args.run_folder / "checkpoint-2", folder)
    tensors = load_file(folder / "model.safetensors")
    lost = sorted(tensors)[0]
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model, _ = load_policy(colours_policy)
    with pytest.raises(CheckpointError, match="does not hold the weights of this model: missing"):
        load_weights(model, folder)


def test_what_cannot_be_resumed(run: Any, colours_policy: Path, tmp_path: Path) -> None:
    folder = run.args.run_folder
    trainer = make_trainer(colours_policy, tmp_path, **SAVING)
    with pytest.raises(CheckpointError, match="holds no checkpoint to resume from"):
        trainer.train(resume_from_checkpoint=True)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))
    with pytest.raises(CheckpointError, match=r"has no skill0_state\.json"):
        trainer.train(resume_from_checkpoint=str(colours_policy))

    for changes, message in (
        (
            {"skills": SkillBank(make_bank().files[:1]), "grouping": None, "tasks": make_tasks(16)},
            "another skill bank",
        ),
        ({"skills": None}, "another skill bank"),
        ({"per_device_train_batch_size": 8}, "16 trajectories a round, now it is 8"),
        ({"budgets": [1, 0], "num_stages": None}, "curriculum's settings changed"),
    ):
        if changes.get("skills"):
            from skill0.skills import group_by_relevance

            changes["grouping"] = group_by_relevance(changes["skills"], make_tasks(16), allow_unmatched=True)
        other = make_trainer(colours_policy, tmp_path / "other", **{**SAVING, **changes})
        with pytest.raises(CheckpointError, match=message):
            other.train(resume_from_checkpoint=str(folder / "checkpoint-1"))


def test_checkpoints_of_another_run_are_not_left_where_they_could_be_resumed(
    run: Any, colours_policy: Path, tmp_path: Path
) -> None:
    used = tmp_path / "used"
    shutil.copytree(run.args.run_folder, used)
    anew = make_trainer(colours_policy, used, **SAVING)
    with pytest.raises(
        ConfigError, match=r"holds checkpoint-1, checkpoint-2, which training that begins anew"
    ):
        anew.train()
    assert (used / "metrics.jsonl").read_text() == (run.args.run_folder / "metrics.jsonl").read_text()
    # From an earlier checkpoint, the later one is not of the run that goes on from there.
    with pytest.raises(ConfigError, match="holds checkpoint-2, which a run that goes on from"):
        anew.train(resume_from_checkpoint=str(used / "checkpoint-1"))
    with pytest.raises(ConfigError, match="holds checkpoint-1, checkpoint-2"):
        anew.train(resume_from_checkpoint=str(run.args.run_folder / "checkpoint-2"))
    anew.train(resume_from_checkpoint=True)


def test_a_run_that_was_finished_trains_no_further_when_it_is_resumed(
    run: Any, colours_policy: Path, tmp_path: Path
) -> None:
    """Killed after its last step, in what comes after training."""
    folder = tmp_path / "finished"
    shutil.copytree(run.args.run_folder, folder)
    again = make_trainer(colours_policy, folder, **SAVING)
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == 2
    assert torch.equal(parameters(again), parameters(run))
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert again.state.log_history[-1]["train_loss"] == 0.0  # of the steps that this call took: none


def test_old_checkpoints_go_only_when_the_new_one_is_whole(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path, save_total_limit=1, **SAVING)
    trainer.train()
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-2"]
    state = json.loads((tmp_path / "checkpoint-2" / "skill0_state.json").read_text())
    assert (state["global_step"], state["windows_done"]) == (2, 2)
    assert state["bank_digest"] == make_bank().digest


def test_a_disk_that_is_too_full_is_reported_before_anything_is_written(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(colours_policy, tmp_path, **SAVING)
    usage = namedtuple("usage", "total used free")
    room = [2**30, 2**20]  # enough for the first checkpoint, not for the second
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, room.pop(0)))
    with pytest.raises(CheckpointError, match=r"too full for a checkpoint.*Nothing was overwritten"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-1"]


def test_a_disk_that_becomes_full_leaves_the_last_checkpoint(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    trainer = make_trainer(colours_policy, tmp_path, **SAVING)
    write = Trainer._save_optimizer_and_scheduler

    def fails_at_step_2(self: Any, output_dir: str) -> None:
        if self.state.global_step == 2:
            raise RuntimeError(
                "[enforce fail] PytorchStreamWriter failed writing file data/0: file write failed"
            )
        write(self, output_dir)

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", fails_at_step_2)
    with pytest.raises(CheckpointError, match=r"disk became full while writing .*checkpoint-2"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-1"]
    monkeypatch.undo()
    again = make_trainer(colours_policy, tmp_path, **SAVING)
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == 2


def test_the_best_checkpoint_is_known_by_its_final_name_and_loaded(
    colours_policy: Path, tmp_path: Path
) -> None:
    trainer = make_trainer(
        colours_policy, tmp_path, eval_tasks=make_tasks(4, "eval"), eval_strategy="steps", eval_steps=1,
        load_best_model_at_end=True, metric_for_best_model="success_without_skills", greater_is_better=True,
        **SAVING,
    )  # fmt: skip
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    assert best.parent == tmp_path
    assert best.is_dir()
    model = trainer.model
    loaded = type(model).from_pretrained(best)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_the_best_checkpoint_is_found_where_evaluations_fall_inside_a_round(
    colours_policy: Path, tmp_path: Path
) -> None:
    """A round serves two steps: what is due at every step is done at steps 2 and 4."""
    trainer = make_trainer(
        colours_policy, tmp_path, eval_tasks=make_tasks(4, "eval"), eval_strategy="steps", eval_steps=1,
        load_best_model_at_end=True, metric_for_best_model="success_without_skills", save_total_limit=1,
        steps_per_generation=2, per_device_train_batch_size=8, **{**SAVING, "max_steps": 4},
    )  # fmt: skip
    score(trainer, 0.75, 0.25)
    trainer.train()
    evaluated = [row["step"] for row in trainer.state.log_history if "eval_success_without_skills" in row]
    assert evaluated == [2, 4]
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-2")
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    saved = type(trainer.model).from_pretrained(tmp_path / "checkpoint-2")
    assert torch.equal(
        torch.cat([p.detach().double().flatten() for p in saved.parameters()]), parameters(trainer)
    )


def test_low_rank_adapters_resume_as_if_uninterrupted(colours_policy: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")

    def make(folder: str) -> Any:
        config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)")
        return make_trainer(
            colours_policy, tmp_path / folder, peft_config=config, **{**SAVING, "max_steps": 3}
        )

    whole = make("whole")
    whole.train()
    resumed = make("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(parameters(resumed), parameters(whole))
