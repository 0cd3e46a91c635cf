"""What a run says at its end."""

from __future__ import annotations

from rich.console import Console, RenderableType

from skill0.training.recorded import RecordedArm
from skill0.training.summary import RANDOM, recorded_table, summary_table, tokens_saved


def rate(value: float) -> dict[str, float]:
    return {"rate": value, "low": value - 0.1, "high": value + 0.05}


RESULTS = {
    "success": {
        "with skills": {"before": rate(0.9), "after": rate(0.95)},
        "without skills": {"before": rate(0.4), "after": rate(0.925)},
        RANDOM: {"before": rate(0.0)},
    },
    "tokens_per_turn": {
        "with skills": {"before": {"text": 70.0, "visual": 80.0}, "after": {"text": 76.6, "visual": 83.4}},
        "without skills": {"before": {"text": 70.0, "visual": 4.0}, "after": {"text": 76.0, "visual": 4.0}},
        RANDOM: {"before": {"text": 0.0, "visual": 0.0}},
    },
}


def lines(told: RenderableType) -> list[str]:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(told)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_success_and_tokens_before_and_after():
    told = lines(summary_table(RESULTS))
    assert "│ with skills │ after │ 95.0 [85.0, 100.0] │ 77 text + 83 visual │" in told
    assert "│ without skills │ before │ 40.0 [30.0, 45.0] │ 70 text + 4 visual │" in told
    assert f"│ {RANDOM} │ - │ 0.0 [-10.0, 5.0] │ - │" in told


def test_what_a_turn_saves_once_the_skills_are_gone():
    # 76.6 + 83.4 = 160 tokens with skills, 76 + 4 = 80 without: half of them.
    assert tokens_saved(RESULTS) == (
        "context tokens a turn, after: 160 with skills, 80 without; 80 (50 %) saved"
    )


def test_the_record_tells_this_recipe_and_plain_grpo_with_the_commands_that_measure_them():
    recorded = [
        RecordedArm("default", "with skills", "before", 0.9, 0.88, 0.92, (0, 1, 2, 3, 4)),
        RecordedArm("default", "without skills", "after", 0.95, 0.93, 0.97, (0, 1, 2, 3, 4)),
        RecordedArm("skill0", "without skills", "after", 0.6, 0.5, 0.7, (0, 1, 2)),
        RecordedArm("plain_grpo", "without skills", "after", 0.5, 0.4, 0.6, (0, 1, 2)),
    ]
    told = lines(recorded_table(recorded))
    assert "│ this recipe, with skills │ before │ 90.0 [88.0, 92.0] │ [85.1, 94.9] │" in told  # 2 sqrt(6)
    assert "│ plain GRPO, without skills │ after │ 50.0 [40.0, 60.0] │ [30.0, 70.0] │" in told  # 10 sqrt(4)
    assert told[-2:] == [
        "python benchmarks/internalization.py default --seeds 0 1 2 3 4",
        "python benchmarks/internalization.py plain_grpo --seeds 0 1 2",
    ]
