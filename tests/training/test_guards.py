"""Guards speak when a figure is out of bounds for several rounds in a row, say what to do, and stop runs."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from colours import make_config, make_trainer
from colours_reader import Reader

from skill0.errors import ConfigError
from skill0.training.guards import ADVICE, Alarm, GuardSettings, Watch, guard_settings

GOOD = {
    "rollout/surprise": 0.5,
    "completions/mean_length": 20.0,
    "completions/clipped_ratio": 0.0,
    "invalid_share": 0.1,
    "groups/signal": 0.8,
    "compression/mean_factor": 2.0,
    "success": 0.4,
}


def alarms(rows: list[dict[str, float]], **settings: Any) -> list[tuple[str, int]]:
    """(guard, step) of every alarm over a run whose row n is step n, from 1."""
    watch = Watch(GuardSettings(rounds=3, **settings))
    found: list[Alarm] = []
    for step, row in enumerate(rows, start=1):
        found += watch.see({"step": step, **GOOD, **row})
    return [(alarm.guard, alarm.step) for alarm in found]


def test_a_healthy_run_hears_nothing() -> None:
    assert alarms([{"success": 0.3 + 0.01 * step} for step in range(40)]) == []


@pytest.mark.parametrize(
    ("figure", "bad", "guard"),
    [
        # Starts are 0.5 nats and 20 tokens: bounds 0.1 * 0.5, 4 * 0.5 and 2 * 20.
        ("rollout/surprise", 0.049, "entropy_collapse"),
        ("rollout/surprise", 2.01, "entropy_explosion"),
        ("completions/mean_length", 40.1, "reply_length"),
        ("completions/clipped_ratio", 0.51, "cut_off_replies"),
        ("invalid_share", 0.51, "invalid_actions"),
        ("groups/signal", 0.05, "no_signal"),
        ("compression/mean_factor", 4.51, "compression_runaway"),
    ],
)
def test_three_bad_rounds_in_a_row(figure: str, bad: float, guard: str) -> None:
    start: list[dict[str, float]] = [{}] * 3
    assert alarms([*start, {figure: bad}, {figure: bad}, {}]) == []
    assert alarms([*start, {figure: bad}, {}, {figure: bad}, {figure: bad}]) == []  # not in a row
    # Steps 4, 5, 6; and the guard speaks again after three more, at 9.
    assert alarms([*start, *[{figure: bad}] * 7]) == [(guard, 6), (guard, 9)]


def test_values_on_the_bound_are_within_it() -> None:
    on_the_bound = {"rollout/surprise": 0.05, "completions/mean_length": 40.0, "invalid_share": 0.5}
    assert alarms([{}, {}, {}, *[on_the_bound] * 5]) == []


def test_a_solved_task_may_have_little_entropy_and_no_signal() -> None:
    quiet = {"rollout/surprise": 0.001, "groups/signal": 0.0}
    assert alarms([{}, {}, {}, *[{**quiet, "success": 0.9}] * 5]) == []
    assert alarms([{}, {}, {}, *[{**quiet, "success": 0.89}] * 3]) == [
        ("entropy_collapse", 6),
        ("no_signal", 6),
    ]


def test_noise_near_no_entropy_is_no_explosion() -> None:
    # The start of 0.001 counts as 0.02: the bound is 4 * 0.02, not 4 * 0.001.
    start = [{"rollout/surprise": 0.001, "success": 1.0}] * 3
    assert alarms([*start, *[{"rollout/surprise": 0.079}] * 5]) == []
    assert alarms([*start, *[{"rollout/surprise": 0.081}] * 3]) == [("entropy_explosion", 6)]


def test_compression_collapses_only_where_there_was_some() -> None:
    none = [{"compression/mean_factor": 1.04}] * 6
    assert alarms(none) == []
    assert alarms([{"compression/mean_factor": 1.2}, *none]) == [
        ("compression_collapse", 4),
        ("compression_collapse", 7),
    ]


def test_rows_without_rollouts_are_passed_over() -> None:
    watch = Watch(GuardSettings(rounds=1))
    assert watch.see({"step": 1, "loss": 0.1}) == []
    assert [alarm.guard for alarm in watch.see({"step": 2, **GOOD, "invalid_share": 1.0})] == [
        "invalid_actions"
    ]


def test_what_it_says() -> None:
    message = Alarm("no_signal", 12, "groups/signal", 0.0, 0.05, 5).message
    assert "no_signal at step 12: groups/signal is 0 (bound 0.05), out of bounds in 5 rounds" in message
    assert "num_generations" in message


def test_advice_names_real_settings() -> None:
    known = {item.name for item in fields(type(make_config("unused")))}
    named = {word for text in ADVICE.values() for word in re.findall(r"\b[a-z]+_[a-z_]+\b", text)}
    assert named <= known, named - known


def test_settings_are_checked() -> None:
    assert guard_settings({"rounds": 2}) == GuardSettings(rounds=2)
    with pytest.raises(ConfigError, match=r"unknown.*'round'.*'rounds'"):
        guard_settings({"round": 2})
    with pytest.raises(ConfigError, match="solved=-1"):
        guard_settings({"solved": -1})
    with pytest.raises(ConfigError, match="whole number"):
        guard_settings({"rounds": 2.5})
    with pytest.raises(ConfigError, match="entropy_low=5"):
        guard_settings({"entropy_low": 5})
    with pytest.raises(ConfigError, match="guards='shout'"):
        make_config("unused", guards="shout")
    with pytest.raises(ConfigError, match="unknown"):
        make_config("unused", guard_settings={"patience": 2})


class Mumbler(Reader):
    """Says something that is no reply at all."""

    def reply(self, item: Any) -> Any:
        output = super().reply(item)
        return type(output)(**{**vars(output), "text": "mumble"})


def mumbling(policy: Path, folder: Path, **changes: Any) -> Any:
    trainer = make_trainer(policy, folder, skills=None, max_steps=8, guard_settings={"rounds": 2}, **changes)
    trainer.loop.policy = Mumbler(trainer.encoder)
    return trainer


def test_a_run_that_talks_rubbish_is_stopped_and_saved(
    colours_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = mumbling(colours_policy, tmp_path, guards="stop")
    with caplog.at_level(logging.WARNING):
        trainer.train()
    # Every reply of rounds 1 and 2 is invalid, and no group has any spread.
    assert trainer.state.global_step == 2
    assert (tmp_path / "checkpoint-2").is_dir()
    assert "guard invalid_actions at step 2: invalid_share is 1 (bound 0.5)" in caplog.text
    assert "guard no_signal at step 2" in caplog.text
    assert "training stops here" in caplog.text
    # Resumed, it gets two more rounds: what the guards remember comes from the checkpoint.
    trainer = mumbling(colours_policy, tmp_path, guards="stop")
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 4


def test_a_stop_waits_for_the_end_of_the_round(colours_policy: Path, tmp_path: Path) -> None:
    # Rounds of two steps; the figures of a round are logged at its first: steps 1 and 3. Stop after step 4.
    trainer = mumbling(
        colours_policy, tmp_path, guards="stop", steps_per_generation=2, per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 4


def test_by_default_it_warns_and_goes_on(
    colours_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = mumbling(colours_policy, tmp_path / "warned")
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.state.global_step == 8
    assert caplog.text.count("guard invalid_actions") == 4
    rows = [json.loads(line) for line in (tmp_path / "warned" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "guards/invalid_actions" in row] == [3, 5, 7]
    caplog.clear()
    trainer = mumbling(colours_policy, tmp_path / "off", guards="off")
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "guard" not in caplog.text
