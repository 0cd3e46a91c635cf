"""Where a run's policy comes from: shipped weights are prompted as they were warmed up, or refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate import PartialState
from rich.console import Console

from skill0.agent import AgentSettings
from skill0.context import PageStyle
from skill0.errors import ConfigError
from skill0.policy import policy_folder
from skill0.training.policy_source import differing_prompts, prepare_policy
from skill0.training.recipe import load_recipe
from skill0.training.run import training_config

SHIPPED = AgentSettings.load(policy_folder("shipped/household"))
PROMPTS = {
    "template": SHIPPED.template,
    "skills_in": SHIPPED.skills_in,
    "history_in": SHIPPED.history_in,
    "history_length": SHIPPED.history_length,
    "skill_form": SHIPPED.skill_form,
    "require_think": SHIPPED.require_think,
    "page_cell": SHIPPED.style.cell,
    "page_width": SHIPPED.style.width,
    "page_leading": SHIPPED.style.leading,
    "page_max_visual_tokens": SHIPPED.style.max_visual_tokens,
}


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Prepares the policy of a recipe; returns its name and what was printed. No world is needed for saved
    ones."""

    def prepared(policy: dict[str, Any], training: dict[str, Any], **sections: Any) -> tuple[Any, str]:
        content = {
            "output_dir": "run",
            "skills": {"bank": "bank"},
            "policy": policy,
            "training": {"use_cpu": True, **training},
            **sections,
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        recipe = load_recipe(path)
        config = training_config(recipe, tmp_path / "run")
        found = prepare_policy(recipe, None, config, tmp_path / "run", Console(width=400), PartialState())  # type: ignore[arg-type]
        return found, capsys.readouterr().out

    return prepared


def test_a_shipped_policy_needs_no_warmup_section(prepare):
    assert prepare({"model": "shipped/household"}, PROMPTS) == ("shipped/household", "")


def test_other_prompts_than_those_it_learnt_are_refused_by_name(prepare):
    wrong = {**PROMPTS, "page_cell": "6x12", "skill_form": "full"}
    with pytest.raises(ConfigError) as caught:
        prepare({"model": "shipped/household"}, wrong)
    assert "training.skill_form is 'full', not 'brief'" in str(caught.value)
    assert "training.page_cell is '6x12', not '7x14'" in str(caught.value)
    assert "page_width" not in str(caught.value)


def test_a_policy_of_ones_own_with_other_prompts_is_told_of(prepare, tmp_path: Path):
    """It may be what is wanted: a run that goes on from another one under other prompts."""
    shutil.copytree(policy_folder("shipped/household"), tmp_path / "mine")
    _, printed = prepare({"model": "mine"}, {**PROMPTS, "page_width": 196})
    assert "trained with other prompts: training.page_width is 196, not 168" in printed


def test_a_warmup_section_beside_shipped_weights_is_not_run_in_silence(prepare):
    _, printed = prepare(
        {"model": "shipped/household"}, PROMPTS, warmup={"learning": {"reading_steps": 1, "acting_steps": 1}}
    )
    assert "the recipe's warmup section did not make it, and is not run" in printed


def test_a_warmup_of_a_model_that_has_learnt_is_refused(prepare):
    with pytest.raises(ConfigError, match="warmup is for the tiny policy, not for 'some/model'"):
        prepare({"model": "some/model"}, PROMPTS, warmup={})


def test_a_tiny_policy_without_a_warmup_is_refused(prepare):
    with pytest.raises(ConfigError, match=r"needs a warmup section, or .*shipped/household"):
        prepare({"model": "tiny"}, PROMPTS)


def test_how_long_episodes_are_is_no_part_of_a_prompt():
    ours = AgentSettings(max_steps=9, invalid_action_penalty=0.5)
    assert differing_prompts(ours, AgentSettings()) == []
    # How much history is shown matters only where history is shown.
    assert differing_prompts(replace(ours, history_length=3), AgentSettings()) == [
        "training.history_length is 3, not 50"
    ]
    unseen = replace(ours, history_in="none")
    assert differing_prompts(replace(unseen, history_length=3), replace(unseen, history_length=5)) == []
    wide = replace(ours, style=PageStyle(width=448))
    assert differing_prompts(wide, AgentSettings()) == ["training.page_width is 448, not 392"]
