"""Two processes train as one does with paired groups and the internalization loss.

A scripted policy plays, which knows more with skills than without; the model is trained on what it did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours_runs import train

pytestmark = pytest.mark.integration

PAIRED: dict[str, Any] = {
    "reader": {"told": 0.7, "guessed": 0.2},
    "paired_fraction": 0.5,
    "internalization_weight": 0.5,
    "internalization_weighting": "effect",
    "internalization_tokens": "reply",
    "internalization_mean": "round",
    "internalization_replay": 2,
    "helpfulness_from": "paired",
    "helpfulness_filter": "none",
    "num_stages": None,
}


def test_two_processes_equal_one(tmp_path: Path) -> None:
    # Groups of 4 over 2 x 6 rows: the second group begins on the first process and ends on the second, its
    # arms apart. Three groups a round: one pair in the first round, two in the second.
    settings = {
        **PAIRED, "max_steps": 2, "budgets": [2], "curriculum_interval": 1, "turn_micro_batch_size": 5,
        "steps_per_generation": 2, "gradient_accumulation_steps": 2,
    }  # fmt: skip
    one = train(tmp_path / "one", processes=1, per_device_train_batch_size=6, **settings)
    two = train(tmp_path / "two", processes=2, per_device_train_batch_size=3, **settings)
    assert two["timeline"] == one["timeline"]
    assert one["timeline"]
    assert [row["paired/groups"] for row in one["history"]] == [1.0, 2.0]
    assert any(row.get("internalization/loss", 0.0) > 0 for row in one["history"])
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), name
    # Adam's first steps are as long as the learning rate, 1e-3, however small the gradient they follow.
    assert torch.allclose(two["parameters"], one["parameters"], rtol=0, atol=5e-5)
