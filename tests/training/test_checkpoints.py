"""Checkpoints: whole or not at all, and refused when a run cannot go on from them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from skill0.errors import CheckpointError
from skill0.training.checkpoints import (
    STAGING_FOLDER,
    STATE_FILE,
    Skill0State,
    check_state,
    newest_checkpoint,
    read_state,
    require_space,
    staged,
    write_state,
)

STATE = Skill0State(
    global_step=4,
    windows_done=8,
    round_size=16,
    bank_digest="ab" * 32,
    curriculum={"active": ["heat"]},
    helpfulness={"heat": 0.25},
    logging={"metrics": {"reward": [1.0]}},
)


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    assert read_state(tmp_path) == STATE
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]  # no temporary file stays


def test_a_checkpoint_without_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no skill0_state\.json"):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 1, "global_step": 4', "damaged"),
        ('{"version": 1, "global_step": 4}', "damaged"),
        ('{"version": 99}', "version 99"),
        ("[]", "damaged"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / STATE_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path)


def test_another_skill_bank_or_batch_is_refused(tmp_path: Path) -> None:
    check_state(STATE, tmp_path, round_size=16, bank_digest="ab" * 32)
    with pytest.raises(CheckpointError, match="another skill bank"):
        check_state(STATE, tmp_path, round_size=16, bank_digest="")
    with pytest.raises(CheckpointError, match="16 trajectories a round, now it is 32"):
        check_state(STATE, tmp_path, round_size=32, bank_digest="ab" * 32)


def write_checkpoint(final: Path, content: str, error: Exception | None = None) -> None:
    with staged(final) as folder:
        (folder / final.name).mkdir()
        (folder / final.name / "weights").write_text(content)
        if error is not None:
            raise error


def test_a_checkpoint_appears_whole_and_replaces_an_older_one_of_its_name(tmp_path: Path) -> None:
    final = tmp_path / "checkpoint-4"
    write_checkpoint(final, "old")
    write_checkpoint(final, "new")
    assert (final / "weights").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_one_that_is_killed_while_it_replaces_a_checkpoint_leaves_the_old_one_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no way to exchange two folders at once: for a moment, neither has the checkpoint's name."""
    final = tmp_path / "checkpoint-4"
    write_checkpoint(final, "old")
    write_checkpoint(tmp_path / "checkpoint-2", "earlier")
    rename = os.rename

    def killed_before_the_new_one(source: Path, target: Path) -> None:
        if target == final:
            raise KeyboardInterrupt  # nothing is cleared up, as after a kill
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed_before_the_new_one)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(final, "new")
    monkeypatch.undo()
    left = newest_checkpoint(tmp_path)
    assert left is not None
    assert not final.exists()
    assert (left / "weights").read_text() == "old"
    write_checkpoint(tmp_path / "checkpoint-3", "another")
    assert newest_checkpoint(tmp_path) == left
    write_checkpoint(final, "new")
    assert newest_checkpoint(tmp_path) == final
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-2",
        "checkpoint-3",
        "checkpoint-4",
    ]


def test_everything_below_a_checkpoint_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders too, which hold the names of their files, and the innermost first."""
    flushed = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with staged(tmp_path / "checkpoint-4") as folder:
        inner = folder / "checkpoint-4" / "global_step4" / "zero"
        inner.mkdir(parents=True)
        (inner / "shard").write_text("1")
        (folder / "checkpoint-4" / "weights").write_text("2")
    assert sorted(flushed) == sorted(
        ["shard", "zero", "global_step4", "weights", "checkpoint-4", tmp_path.name]
    )
    assert [name for name in flushed if name != "weights"] == [
        "shard", "zero", "global_step4", "checkpoint-4", tmp_path.name,
    ]  # fmt: skip
    assert flushed.index("weights") < flushed.index("checkpoint-4")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:783] PytorchStreamWriter: file write failed"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_and_leaves_the_good_checkpoint_alone(tmp_path: Path, error: Exception) -> None:
    final = tmp_path / "checkpoint-4"
    write_checkpoint(final, "good")
    with pytest.raises(CheckpointError, match="disk became full"):
        write_checkpoint(final, "ha", error)
    assert (final / "weights").read_text() == "good"
    assert not (tmp_path / STAGING_FOLDER).exists()


def test_any_other_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_checkpoint(tmp_path / "checkpoint-1", "ha", ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_behind_is_no_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint-2", "whole")
    torn = tmp_path / STAGING_FOLDER / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "weights").write_text("ha")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    write_checkpoint(tmp_path / "checkpoint-10", "later")  # clears what was left behind
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"  # by number, not by name
    assert not (tmp_path / STAGING_FOLDER).exists()
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_too_little_space_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**40, 100 * 2**20))
    require_space(tmp_path, 50 * 2**20)
    # 90 MB and 32 MB to spare are 122 MB; 100 MB are free.
    with pytest.raises(CheckpointError, match="needs 122 MB, 100 MB are free"):
        require_space(tmp_path, 90 * 2**20)


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    assert json.loads((tmp_path / STATE_FILE).read_text())["curriculum"] == {"active": ["heat"]}
