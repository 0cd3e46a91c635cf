"""A run that is killed and resumed ends exactly where the uninterrupted run ends.

Each run is a process of its own. Compared are all parameters, the curriculum with every decision, and the
metrics of every step (which depend on the order of tasks, the random numbers and the optimizer).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours_runs import train

pytestmark = pytest.mark.integration

# 8 training tasks, 4 a round, and a round serves two optimizer steps: an epoch is 4 steps. A checkpoint is
# due at every step, but steps 1, 3, 5 and 7 lie inside a round: their checkpoints wait for the step after.
# Figures are averaged over 2 steps. Files are judged at steps 2, 4 (where the second stage begins) and 6.
RUN: dict[str, Any] = {
    "max_steps": 8,
    "num_tasks": 12,
    "steps_per_generation": 2,
    "per_device_train_batch_size": 8,
    "num_stages": None,
    "budgets": [2, 1],
    "curriculum_interval": 2,
    "helpfulness_filter": "none",
    "save_strategy": "steps",
    "save_steps": 1,
    "logging_steps": 2,
    "learning_rate": 3e-3,
    # Half of the groups are pairs, whose effects add up from one decision of the curriculum to the next, and
    # the reference policy moves at steps 3 and 6: a resumed run must find both in its checkpoint.
    "paired_fraction": 0.5,
    "helpfulness_from": "both",
    "internalization_weight": 1.0,
    "internalization_warmup_steps": 4,
    "internalization_replay": 1,
    "beta": 0.05,
    "sync_ref_model": True,
    "ref_model_sync_steps": 3,
    "ref_model_mixup_alpha": 0.9,
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train(tmp_path_factory.mktemp("uninterrupted"), **RUN)


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        # Step 7, in the second epoch, is reached and lost: the checkpoint of step 6 counts.
        (("step", 7), 6),
        # Killed in the middle of writing the checkpoint of step 4: that of step 2 counts.
        (("saving", 4), 2),
    ],
    ids=["between checkpoints", "while saving"],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, uninterrupted: dict[str, Any], kill: tuple[str, int], left: int
) -> None:
    assert train(tmp_path, kill=kill, dies=True, **RUN) == {"returncode": -9}
    found = sorted(int(path.name.split("-")[1]) for path in (tmp_path / "run").glob("checkpoint-*"))
    assert found == list(range(2, left + 1, 2))

    resumed = train(tmp_path, resume=True, **RUN)
    assert resumed["step"] == uninterrupted["step"] == 8
    assert torch.equal(resumed["parameters"], uninterrupted["parameters"])
    assert resumed["active"] == uninterrupted["active"]
    assert resumed["timeline"] == uninterrupted["timeline"]
    assert [change["step"] for change in resumed["timeline"]] == [2, 4, 6]
    assert resumed["history"] == uninterrupted["history"]
    # metrics.jsonl holds every logged step once, whatever the killed process wrote after its checkpoint.
    assert [row["step"] for row in resumed["rows"] if "loss" in row] == [2, 4, 6, 8]
