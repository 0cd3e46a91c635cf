"""The warm-up as a whole, on a policy of a few thousand parameters: it learns, repeats itself, resumes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from classroom import demonstrations, pupil

from skill0.errors import CheckpointError, ConfigError
from skill0.training.warmup import Warmup, WarmupSettings, warm_up

SETTINGS = WarmupSettings(
    reading_steps=4,
    acting_steps=4,
    reading_lessons=1,
    replayed_lessons=1,
    plain_lessons=2,
    skilled_lessons=2,
    micro_batch_size=4,
    ramp_steps=2,
    save_every=3,
)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def test_it_memorises_a_handful_of_turns(tmp_path):
    model, processor = pupil()
    settings = WarmupSettings(
        reading_steps=0,
        acting_steps=150,
        replayed_lessons=0,
        plain_lessons=4,
        skilled_lessons=4,
        learning_rate=1e-2,
        ramp_steps=5,
    )
    report = warm_up(model, processor, demonstrations(), settings, tmp_path, progress=False)
    assert report.curve[-1]["acting right"] == 1.0
    assert report.curve[-1]["acting"] < 0.1 < report.curve[0]["acting"]


def test_one_seed_gives_one_result(tmp_path):
    results = []
    for run in ("a", "b"):
        model, processor = pupil()
        report = warm_up(model, processor, demonstrations(), SETTINGS, tmp_path / run, progress=False)
        results.append((weights(model), [row | {"seconds": 0} for row in report.curve]))
    assert_equal_weights(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_killed_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    model, processor = pupil()
    warm_up(model, processor, demonstrations(), SETTINGS, tmp_path / "whole", progress=False)

    class Killed(BaseException):
        pass

    def dies_at_step_5(warmup, step=Warmup.train_step):
        if warmup.step == 5:
            raise Killed
        return step(warmup)

    other, _ = pupil()
    monkeypatch.setattr(Warmup, "train_step", dies_at_step_5)
    with pytest.raises(Killed):
        warm_up(other, processor, demonstrations(), SETTINGS, tmp_path / "cut", progress=False)
    monkeypatch.undo()
    resumed, _ = pupil(seed=1)  # its first weights do not matter
    report = warm_up(resumed, processor, demonstrations(), SETTINGS, tmp_path / "cut", progress=False)
    assert report.steps == 8
    assert_equal_weights(weights(model), weights(resumed))
    assert [folder.name for folder in (tmp_path / "cut").iterdir()] == ["checkpoint-8"]


def test_a_finished_warmup_is_taken_up_as_it_is(tmp_path):
    model, processor = pupil()
    report = warm_up(model, processor, demonstrations(), SETTINGS, tmp_path, progress=False)
    other, _ = pupil(seed=1)
    assert warm_up(other, processor, demonstrations(), SETTINGS, tmp_path, progress=False) == report
    assert_equal_weights(weights(model), weights(other))


def test_the_size_of_micro_batches_changes_rounding_only(tmp_path):
    found = []
    for size in (2, 16):
        model, processor = pupil()
        warmup = Warmup(
            model, processor, demonstrations(), replace(SETTINGS, micro_batch_size=size), tmp_path
        )
        warmup.step = 4  # a step of the acting stage has lessons of every kind
        found.append(warmup.train_step())
    assert found[0].keys() == found[1].keys()
    for name in set(found[0]) - {"acting right", "reading right"}:
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4), name


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path):
    model, processor = pupil()
    warm_up(model, processor, demonstrations(), SETTINGS, tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="checkpoint-8 belongs to a warm-up with other settings"):
        warm_up(model, processor, demonstrations(), replace(SETTINGS, seed=1), tmp_path, progress=False)
    (tmp_path / "checkpoint-8" / "optimizer.pt").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="cannot resume"):
        warm_up(model, processor, demonstrations(), SETTINGS, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"skilled_lessons": -1}, "skilled_lessons must not be negative"),
        ({"reading_steps": 0, "acting_steps": 0}, "both 0"),
        ({"decay": 1.5}, "at most 1"),
        ({"reading_lessons": 0, "plain_lessons": 0}, "reading stage has no lessons"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(SETTINGS, **changes)


def test_lessons_that_nobody_demonstrated_are_refused(tmp_path):
    model, processor = pupil()
    shown = demonstrations()
    only_plain = replace(shown, episodes=tuple(e for e in shown.episodes if not e.trajectory.arm))
    with pytest.raises(ConfigError, match="no episode of the arm 'all' or 'some' was demonstrated"):
        warm_up(model, processor, only_plain, SETTINGS, tmp_path, progress=False)


def test_names_are_passed_on_only_where_lessons_are_told_with_others(tmp_path):
    model, processor = pupil()
    with pytest.raises(ConfigError, match="not told with other names"):
        Warmup(model, processor, demonstrations(), replace(SETTINGS, passing_weight=1.0), tmp_path)


def test_the_learning_rate_rises_stays_and_falls():
    settings = WarmupSettings(reading_steps=0, acting_steps=100, ramp_steps=10, decay=0.5, learning_rate=1.0)
    assert settings.learning_rate_at(0) == pytest.approx(0.1)
    assert settings.learning_rate_at(9) == settings.learning_rate_at(50) == 1.0
    assert settings.learning_rate_at(75) == pytest.approx(0.5)  # half of the falling half is left
    assert settings.learning_rate_at(99) == pytest.approx(0.05)
