"""The last thing a run says: its own figures, and beside them what the study recorded over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from skill0.evaluation.measuring import WITH, WITHOUT
from skill0.training.recorded import RecordedArm

RANDOM = "random policy"
RECORDED = {"default": "this recipe", "plain_grpo": "plain GRPO"}
"""Arms of the study that are told beside a run, and what they are called there."""


def summary_table(results: Mapping[str, Any]) -> Table:
    """Success on held-out tasks and context tokens of `results.json`, before and after."""
    table = Table(title="Held-out tasks, each played once", title_justify="left")
    for column in ("arm", "when", "success in % [95 %]", "tokens a turn"):
        table.add_column(column)
    for arm, found in results["success"].items():
        for when, rate in found.items():
            tokens = results["tokens_per_turn"][arm][when]
            success = f"{100 * rate['rate']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
            context = "-" if arm == RANDOM else f"{tokens['text']:.0f} text + {tokens['visual']:.0f} visual"
            table.add_row(arm, "-" if arm == RANDOM else when, success, context)
    return table


def tokens_saved(results: Mapping[str, Any]) -> str:
    """What a turn costs in context tokens after training, with skills and without: "... 79 (49 %) saved"."""
    full, plain = (
        sum(results["tokens_per_turn"][arm]["after"][kind] for kind in ("text", "visual"))
        for arm in (WITH, WITHOUT)
    )
    return (
        f"context tokens a turn, after: {full:.0f} with skills, {plain:.0f} without; "
        f"{full - plain:.0f} ({100 * (1 - plain / full):.0f} %) saved"
    )


def recorded_table(recorded: Sequence[RecordedArm]) -> Table:
    """What the study found over seeds, of this recipe and of plain GRPO, and the commands that measure it
    again."""
    told = [arm for name in RECORDED for arm in recorded if arm.arm == name]
    commands = list(dict.fromkeys(arm.command for arm in told))
    table = Table(
        title="Recorded over seeds, success in %",
        title_justify="left",
        caption="Measured again by\n" + "\n".join(commands),
        caption_justify="left",
    )
    for column in ("arm", "when", "mean of seeds [95 %]", "another seed [95 %]"):
        table.add_column(column)
    for arm in told:
        table.add_row(f"{RECORDED[arm.arm]}, {arm.context}", arm.when, arm.mean_text, arm.another_text)
    return table
