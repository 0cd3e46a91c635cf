"""Checkpoints that can be trusted: written whole or not at all, and resumed with everything in them.

transformers' `Trainer` writes model, optimiser, scheduler, random states and its own state straight into
`checkpoint-N`. Here it writes into a staging folder beside it; skill0's own state joins it as
`skill0_state.json`; all files are flushed to the disk; then one rename makes it `checkpoint-N`. A process
that is killed at any moment leaves either the whole checkpoint or none, and what stood there before stays
until the new one is complete.

Left out: the files' formats (transformers', except `skill0_state.json`); FSDP and DeepSpeed write their
shards by their own code into the same staging folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skill0.errors import CheckpointError

STATE_FILE = "skill0_state.json"
STATE_VERSION = 1
STAGING_FOLDER = ".checkpoint-in-progress"
SPARE_BYTES = 32 * 2**20
"""Room left over for what else a run writes, and for rounding."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)|\.checkpoint-(\d+)\.replaced")


@dataclass(frozen=True)
class Skill0State:
    """What a checkpoint keeps beside transformers' files. All of it is JSON data.

    `windows_done` counts calls of `training_step`; `round_size` is the number of trajectories of
    a round, without which that count means nothing. `bank_digest` is "" for a run without skills;
    `curriculum` and `helpfulness` (last measured, by file) are then None and empty. `helpfulness_paired` is
    that of paired groups, `pairs` what was played in them since the curriculum last decided (empty in files
    that were written before there were such groups). `logging` is what lies between two logging steps.
    """

    global_step: int
    windows_done: int
    round_size: int
    bank_digest: str
    curriculum: dict[str, Any] | None
    helpfulness: dict[str, float] = field(default_factory=dict)
    helpfulness_paired: dict[str, float] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    logging: dict[str, Any] = field(default_factory=dict)
    version: int = STATE_VERSION


def write_state(folder: Path, state: Skill0State) -> None:
    """Write `skill0_state.json` into a folder, whole or not at all."""
    write_atomically(folder / STATE_FILE, json.dumps(asdict(state), indent=1))


def read_state(folder: Path) -> Skill0State:
    """Read `skill0_state.json`. Raises `CheckpointError` when it is missing, damaged or another version's."""
    path = folder / STATE_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {STATE_FILE}: it was not written by Skill0Trainer, or was copied without it. "
            "To start from its weights only, pass it as `model` instead of resuming."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("version") != STATE_VERSION:
            raise CheckpointError(
                f"{path} has version {content.get('version')!r}, this skill0 reads {STATE_VERSION}; "
                "resume with the version of skill0 that wrote it"
            )
        return Skill0State(**content)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); resume from an earlier checkpoint") from error


def check_state(state: Skill0State, folder: Path, *, round_size: int, bank_digest: str) -> None:
    """Raises `CheckpointError` when a run with these settings cannot go on from that state."""
    if state.bank_digest != bank_digest:
        raise CheckpointError(
            f"{folder} was trained with another skill bank: digest {state.bank_digest[:12] or '(none)'} "
            f"there, {bank_digest[:12] or '(none)'} here. Resume with the same skills, or start anew from "
            "its weights."
        )
    if state.round_size != round_size:
        raise CheckpointError(
            f"{folder} was trained with {state.round_size} trajectories a round, now it is "
            f"{round_size}; keep per_device_train_batch_size x processes x steps_per_generation"
        )


def newest_checkpoint(output_dir: Path) -> Path | None:
    """The checkpoint of the latest step, or None. Only whole checkpoints have such a name."""
    return next(iter(reversed(checkpoints_in(output_dir).values())), None)


def checkpoints_in(output_dir: Path) -> dict[int, Path]:
    """All checkpoints in a folder by their steps, in order.

    One that a process was replacing when it was killed may be left under a hidden name, see `_replace`.
    """
    found = []
    for path in output_dir.iterdir() if output_dir.is_dir() else ():
        match = _CHECKPOINT.fullmatch(path.name)
        if match and path.is_dir():
            found.append((int(match[1] or match[2]), match[1] is not None, path))
    return {step: path for step, _, path in sorted(found)}


def require_space(folder: Path, needed: int) -> None:
    """Raises `CheckpointError` when the disk that holds `folder` has less than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise CheckpointError(
            f"the disk of {folder} is too full for a checkpoint: it needs {_megabytes(needed + SPARE_BYTES)}"
            f", {_megabytes(free)} are free. Nothing was overwritten. Free some space, or set "
            "save_total_limit, and resume."
        )


def alone(act: Callable[[], None]) -> None:
    """What `staged` calls `together` where there is one process."""
    act()


@contextlib.contextmanager
def staged(
    final: Path, *, is_main: bool = True, together: Callable[[Callable[[], None]], None] = alone
) -> Iterator[Path]:
    """Write a checkpoint in a staging folder, and make it `final` when the block ends without error.

    Yields the folder in which the block creates `final.name`. `is_main` tells the one process that creates,
    flushes, renames and removes. `together(act)` calls `act` on every process and, when that fails on one,
    raises on all: none waits for one that has given up. What the block writes on several processes it writes
    by way of it, too. A full disk becomes a `CheckpointError`, and the half-written folder is removed.
    """
    staging = final.parent / STAGING_FOLDER

    def begin() -> None:
        if is_main:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)

    def publish() -> None:
        if is_main:
            _flush(staging / final.name)
            _replace(staging / final.name, final)
            shutil.rmtree(staging, ignore_errors=True)

    try:
        together(begin)
        yield staging
        together(publish)
    except Exception as error:
        if is_main:
            shutil.rmtree(staging, ignore_errors=True)
        if _is_full_disk(error):
            raise CheckpointError(
                f"the disk became full while writing {final}; the unfinished checkpoint was removed and "
                "earlier ones are untouched. Free some space, or set save_total_limit, and resume."
            ) from error
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file by way of a temporary name, flushed to the disk before it takes its own."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    _flush_folder(path.parent)


def checkpoint_bytes(model: Any, kind: str = "single") -> int:
    """What a checkpoint of this model takes at most: its weights, and two float32 moments of each trainable
    parameter (Adam's). An adapter is saved alone, so frozen weights then count for nothing.

    Sharded ways of training (see `processes.kind`) write these weights once more in a form of their own, and
    DeepSpeed its float32 copy of what is trained.
    """
    adapter_only = hasattr(model, "peft_config")
    total = 0
    for parameter in model.parameters():
        # Under ZeRO-3 a parameter is empty between uses, and knows how large it is.
        numbers = getattr(parameter, "ds_numel", parameter.numel())
        copies = 2 if kind.startswith(("zero", "fsdp")) else 1
        if parameter.requires_grad:
            total += numbers * (12 if kind.startswith("zero") else 8)
        if parameter.requires_grad or not adapter_only:
            total += copies * numbers * parameter.element_size()
    return total


def _replace(new: Path, final: Path) -> None:
    """Rename `new` to `final`. What stands there already is first renamed to what `newest_checkpoint` takes
    for it, so that at every moment one of both can be found; then it is removed."""
    old = final.with_name(f".{final.name}.replaced")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
    os.rename(new, final)
    _flush_folder(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Make sure that every file below a folder is on the disk, not only in memory, and then its name, which
    its folder holds: folders from the innermost to this one."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in sorted(names)):
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        _flush_folder(Path(place))


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one it was raised from, means that the disk or quota is used up.

    torch and safetensors report it as errors of their own, with the system's words in the message.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(error) or "file write failed" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB"
