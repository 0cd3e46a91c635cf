"""Two processes train as one does: the same episodes, the same gradients, the same parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours_runs import train

pytestmark = pytest.mark.integration

# Groups of 4 over 2 x 6 rows: the second group begins on the first process and ends on the second. Episodes
# end after one to three turns, so the processes have different numbers of turns. Helpfulness is measured.
SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "budgets": [2],
    "num_stages": None,
    "curriculum_interval": 1,
    "turn_micro_batch_size": 5,
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 2,
    "beta": 0.02,
}


def test_two_processes_equal_one(tmp_path: Path) -> None:
    one = train(tmp_path / "one", processes=1, per_device_train_batch_size=6, **SETTINGS)
    two = train(tmp_path / "two", processes=2, per_device_train_batch_size=3, **SETTINGS)
    assert two["timeline"] == one["timeline"]
    assert one["timeline"]
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours["rollout/turns"] == theirs["rollout/turns"]
        assert ours["reward"] == pytest.approx(theirs["reward"])
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
        assert ours["entropy"] == pytest.approx(theirs["entropy"], rel=1e-4)
    assert torch.allclose(two["parameters"], one["parameters"], rtol=0, atol=1e-5)
