"""Two processes train as one does with dynamic sampling and GiGPO: both replace the same groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours_runs import train

pytestmark = pytest.mark.integration

# Groups of 4 over 2 x 6 rows, the second on both processes. A replaced group may lie on one process only: the
# other has nothing to play, but must make the same generate calls, for here processes generate together.
SETTINGS: dict[str, Any] = {
    "reader": {"told": 0.5, "guessed": 0.1},
    "together": True,
    "advantage_estimator": "gigpo",
    "dynamic_sampling": 2,
    "paired_fraction": 0.5,
    "arm_advantages": "contrast",
    "scale_rewards": "none",
    "loss_mean": "row",
    "entropy_coef": 0.01,
    "max_steps": 2,
    "num_stages": None,
    "budgets": [2],
    "helpfulness_from": "paired",
    "helpfulness_filter": "none",
    "curriculum_interval": 1,
    "turn_micro_batch_size": 5,
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 2,
}


def test_two_processes_equal_one(tmp_path: Path) -> None:
    one = train(tmp_path / "one", processes=1, per_device_train_batch_size=6, **SETTINGS)
    two = train(tmp_path / "two", processes=2, per_device_train_batch_size=3, **SETTINGS)
    replaced = [row["dynamic_sampling/replaced_groups"] for row in one["history"]]
    assert sum(replaced) > 0
    assert two["timeline"] == one["timeline"]
    assert one["timeline"]
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-6), name
    # Adam's first steps are as long as the learning rate, 1e-3, however small the gradient they follow.
    assert torch.allclose(two["parameters"], one["parameters"], rtol=0, atol=5e-5)
