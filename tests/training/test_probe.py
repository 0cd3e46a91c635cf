"""Probes look on without being seen, and leave their whole report."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from colours import history, make_trainer, parameters
from colours_world import make_tasks

from skill0.evaluation import EvaluationReport
from skill0.training.probe import PROBES_FOLDER, Probe
from skill0.training.recipe import EvaluationSection
from skill0.training.report import PROBE_WITH, PROBE_WITHOUT


def test_a_probe_is_logged_and_written_and_changes_nothing(colours_policy: Path, tmp_path: Path) -> None:
    tasks = make_tasks(4, "probed")
    trainers = [make_trainer(colours_policy, tmp_path / name, max_steps=3) for name in ("plain", "probed")]
    probed = trainers[1]
    arms = {"without skills": lambda task: (), "with skills": probed.all_skills_for}
    probed.add_callback(Probe(probed, arms, tasks, EvaluationSection(probe_every=2)))
    for trainer in trainers:
        trainer.train()
    assert torch.equal(parameters(trainers[0]), parameters(probed))

    # Before the first step, every second one, and the last.
    folder = probed.args.run_folder / PROBES_FOLDER
    assert sorted(path.name for path in folder.iterdir()) == [
        "step-000000.json", "step-000002.json", "step-000003.json",
    ]  # fmt: skip
    found = {
        int(path.stem.removeprefix("step-")): EvaluationReport.from_json(json.loads(path.read_text()))
        for path in folder.iterdir()
    }
    assert all(len(arm.outcomes) == 4 for report in found.values() for arm in report.arms)
    logged = {row["step"]: row for row in history(probed) if PROBE_WITH in row}
    assert set(logged) == {2, 3}
    for step, row in logged.items():
        assert row[PROBE_WITHOUT] == found[step]["without skills"].success().value
        assert row[PROBE_WITH] == found[step]["with skills"].success().value
