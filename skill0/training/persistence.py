"""Saving a trainer's checkpoint and finding the one to resume from: checkpoints.py applied to the trainer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

from skill0.errors import CheckpointError, ConfigError
from skill0.training import checkpoints, processes, trl_internals
from skill0.training.checkpoints import Skill0State
from skill0.training.pairing import PairsSoFar
from skill0.training.replay import read_replay, to_json, write_replay

if TYPE_CHECKING:
    from skill0.training.trainer import Skill0Trainer


REFERENCE_FOLDER = "reference"
"""Below a checkpoint: the reference policy, where it is not simply the model that training began with."""


def save(trainer: Skill0Trainer, run_dir: Path, write: Callable[[Path], None]) -> None:
    """Make `run_dir/checkpoint-N` of what `write` puts into the folder it is given. All processes together.

    Raises `CheckpointError` when the disk is, or becomes, full.
    """
    together = partial(_together, trainer)
    together(lambda: _require_space(trainer, run_dir))
    state = current_state(trainer)
    replay = gather_object([to_json(trainer.remembered)]) if trainer.internalization.replay else []
    final, main = run_dir / f"checkpoint-{trainer.state.global_step}", trainer.args.should_save
    with checkpoints.staged(final, is_main=main, together=together) as staging:
        with trl_internals.without_push(trainer):
            together(lambda: write(staging))
        together(lambda: _add_own(trainer, staging, final, state, replay))
    trl_internals.after_rename(trainer, str(run_dir), str(final))


def current_state(trainer: Skill0Trainer) -> Skill0State:
    """What this trainer adds to a checkpoint. All processes together."""
    return Skill0State(
        global_step=trainer.state.global_step,
        windows_done=trl_internals.windows_done(trainer),
        round_size=trainer.args.round_size,
        bank_digest=_digest(trainer),
        curriculum=None if trainer.curriculum is None else trainer.curriculum.state_dict(),
        helpfulness=dict(trainer.helpfulness),
        helpfulness_paired=dict(trainer.helpfulness_paired),
        pairs=trainer.pairs.to_json(),
        logging=trl_internals.logging_state(trainer),
    )


def checkpoint_to_resume(output_dir: Path, wanted: str | bool | None) -> Path | None:
    """The folder meant by `resume_from_checkpoint`: a path, True for the newest, or nothing."""
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        newest = checkpoints.newest_checkpoint(output_dir)
        if newest is None:
            raise CheckpointError(f"{output_dir} holds no checkpoint to resume from")
        return newest
    folder = Path(wanted)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder: there is no such checkpoint")
    return folder


def refuse_other_runs(output_dir: Path, checkpoint: Path | None, step: int) -> None:
    """Raises `ConfigError` when the run folder holds checkpoints that are not of the run that begins here,
    from this `checkpoint` of this `step`, or from nothing.

    They would stay, and the newest of them might be what is resumed after a crash.
    """
    inside = checkpoint is not None and checkpoint.resolve().parent == output_dir.resolve()
    strange = [
        path.name
        for found, path in checkpoints.checkpoints_in(output_dir).items()
        if not inside or found > step
    ]
    if strange:
        begin = "training that begins anew" if checkpoint is None else f"a run that goes on from {checkpoint}"
        raise ConfigError(
            f"{output_dir} holds {', '.join(strange)}, which {begin} has not written; after a crash it would "
            "be resumed from there. Resume from the newest (resume_from_checkpoint=True), give another "
            "output_dir, or move those away"
        )


def resume(trainer: Skill0Trainer, folder: Path) -> Skill0State:
    """Read a checkpoint's own state and hand the curriculum its part. Raises `CheckpointError`."""
    state = checkpoints.read_state(folder)
    checkpoints.check_state(state, folder, round_size=trainer.args.round_size, bank_digest=_digest(trainer))
    if trainer.curriculum is not None:
        if state.curriculum is None:
            raise CheckpointError(f"{folder} holds no curriculum, but this run has one")
        trainer.curriculum.load_state_dict(state.curriculum)
    trainer.helpfulness = dict(state.helpfulness)
    trainer.helpfulness_paired = dict(state.helpfulness_paired)
    trainer.pairs = PairsSoFar.from_json(state.pairs) if state.pairs else PairsSoFar()
    if trainer.internalization.replay:
        ranks = trainer.accelerator
        trainer.remembered = read_replay(folder, ranks.process_index, ranks.num_processes)
    return state


def load_weights(model: Any, folder: str | Path) -> None:
    """Load a checkpoint's weights into a model, all of them or none.

    transformers writes Qwen2.5-VL under its older names, and `Trainer` reads them back with
    `load_state_dict(strict=False)`: no name fits, nothing is loaded, and all it does is warn.
    `from_pretrained` knows both sets of names.
    """
    # float32 holds the values of every dtype a model is trained in; loading casts them back exactly.
    source, info = type(model).from_pretrained(str(folder), dtype="float32", output_loading_info=True)
    lacking = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lacking or info["unexpected_keys"]:
        raise CheckpointError(
            f"{folder} does not hold the weights of this model: missing {lacking[:3]}, "
            f"unknown {sorted(info['unexpected_keys'])[:3]}"
        )
    model.load_state_dict(source.state_dict(), strict=True)


def check_reference(trainer: Skill0Trainer) -> None:
    """Raises `ConfigError` where a reference policy that moves could not be saved whole."""
    if trainer.args.sync_ref_model and not trl_internals.whole_weights(trainer):
        raise ConfigError(
            "sync_ref_model=True moves the reference policy, so a checkpoint must hold it, which is not "
            "supported with DeepSpeed, FSDP or an adapter; switch it off, or train without those"
        )


def load_reference(trainer: Skill0Trainer, folder: str | Path) -> None:
    """Put the reference policy back to what it was at a checkpoint, where it moves (`sync_ref_model`).

    Without this a resumed run would pull the policy towards the model that the whole run began with.
    """
    if trainer.args.sync_ref_model:
        saved = Path(folder) / REFERENCE_FOLDER
        if not saved.is_dir():
            raise CheckpointError(
                f"{folder} holds no reference policy, but sync_ref_model=True moves it; resume with the "
                "settings that the checkpoint was written with"
            )
        load_weights(_reference(trainer), saved)


def _reference(trainer: Skill0Trainer) -> Any:
    return trainer.accelerator.unwrap_model(trainer.ref_model)


def _digest(trainer: Skill0Trainer) -> str:
    return "" if trainer.bank is None else trainer.bank.digest


def _require_space(trainer: Skill0Trainer, run_dir: Path) -> None:
    """Raises `CheckpointError` on the process that writes, when there is too little space for it."""
    if trainer.args.should_save:
        run_dir.mkdir(parents=True, exist_ok=True)
        needed = checkpoints.checkpoint_bytes(trainer.model, processes.kind(trainer.accelerator))
        if trainer.args.sync_ref_model:
            needed += sum(
                weight.numel() * weight.element_size() for weight in _reference(trainer).parameters()
            )
        checkpoints.require_space(run_dir, needed)


def _add_own(
    trainer: Skill0Trainer, staging: Path, final: Path, state: Skill0State, replay: list[Any]
) -> None:
    """What transformers does not write: the reference policy, skill0's state, what is imitated again."""
    _name_best(trainer, staging, final)
    if trainer.args.should_save:
        if trainer.args.sync_ref_model:
            _reference(trainer).save_pretrained(str(staging / final.name / REFERENCE_FOLDER))
        checkpoints.write_state(staging / final.name, state)
        if replay:
            write_replay(staging / final.name, replay)


def _together(trainer: Skill0Trainer, write: Callable[[], None]) -> None:
    """Calls `write` on all processes; none goes on before all have. Where it fails on one, all raise: none
    waits for what never comes.

    A process that is alone with its error inside a step that all take together (DeepSpeed's saving has such)
    cannot tell the others; then the launcher ends them.
    """
    problem: Exception | None = None
    try:
        write()
    except Exception as error:
        if trainer.accelerator.num_processes == 1:
            raise
        problem = error
    told = gather_object([None if problem is None else f"{type(problem).__name__}: {problem}"])
    if problem is not None:
        raise problem
    failed = {rank: message for rank, message in enumerate(told) if message is not None}
    if failed:
        raise CheckpointError(
            f"the checkpoint of step {trainer.state.global_step} was given up, earlier ones are untouched: "
            + "; ".join(f"process {rank} failed with {message}" for rank, message in failed.items())
        )


def _name_best(trainer: Skill0Trainer, staging: Path, final: Path) -> None:
    """A best checkpoint that was found in the staging folder is known by the name it will have."""
    best = trainer.state.best_model_checkpoint
    if best is not None and Path(best).parent == staging:
        trainer.state.best_model_checkpoint = str(final.parent / Path(best).name)
        if trainer.args.should_save:
            trainer.state.save_to_json(str(staging / final.name / "trainer_state.json"))
