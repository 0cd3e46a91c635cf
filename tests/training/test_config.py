"""Settings: sensible by default, and every contradiction named with the value that is wrong."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from colours import make_config

from skill0.errors import ConfigError
from skill0.training.config import Skill0Config
from skill0.training.config_checks import UNSUPPORTED


def test_defaults(tmp_path: Path) -> None:
    config = Skill0Config(output_dir=str(tmp_path), use_cpu=True)
    assert (config.group_statistics, config.loss_mean, config.beta) == ("trajectory", "trajectory", 0.0)
    assert (config.success_reward, config.invalid_action_penalty, config.compression_interval) == (
        10.0,
        0.1,
        8,
    )
    assert (config.curriculum_interval, config.validation_temperature) == (10, 0.4)
    assert config.round_size == config.per_device_train_batch_size == config.group_size == 8
    assert config.activation_checkpointing
    assert config.logging_steps == 1
    assert not config.remove_unused_columns


def test_parts_are_handed_to_those_who_need_them(tmp_path: Path) -> None:
    config = make_config(tmp_path, epsilon=0.1, epsilon_high=0.3, beta=0.5, temperature=0.9, top_k=5)
    assert config.agent_settings().max_steps == 3
    assert config.agent_settings().style.width == 112
    assert (config.loss_settings().epsilon_low, config.loss_settings().epsilon_high) == (0.1, 0.3)
    assert config.rollout_sampling().temperature == 0.9
    assert config.rollout_sampling().top_k == 5
    assert config.rollout_sampling().max_new_tokens == 8
    assert config.validation_sampling().temperature == 0.4
    assert config.validation_sampling().top_k == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_statistics": "turns"}, "group_statistics='turns'"),
        ({"loss_mean": "sequence"}, "loss_mean='sequence'"),
        ({"loss_type": "dapo"}, "loss_type='dapo' must be one of .* the mean is chosen by loss_mean"),
        ({"loss_type": "luspo"}, "TRL's 'luspo' is loss_type='grpo', loss_mean='row_sum'"),
        ({"loss_type": "ppo"}, "loss_type='ppo' must be one of"),
        ({"loss_type": "vespo", "use_vllm": True}, "loss_type='vespo' .* not 'sequence_mask'"),
        ({"advantage_estimator": "ppo"}, "advantage_estimator='ppo'"),
        ({"group_baseline": "critic"}, "group_baseline='critic'"),
        ({"gigpo_anchor": "page"}, "gigpo_anchor='page'"),
        ({"gigpo_similarity": 1.5}, "gigpo_similarity=1.5"),
        ({"gigpo_discount": -0.1}, "gigpo_discount=-0.1"),
        ({"gigpo_step_weight": -1.0}, "gigpo_step_weight=-1.0"),
        ({"arm_advantages": "contrast"}, "arm_advantages='contrast' .* set paired_fraction"),
        ({"contrast_weight": -1.0}, "contrast_weight=-1.0"),
        ({"contrast_pooled_share": 1.1}, "contrast_pooled_share=1.1"),
        ({"dynamic_sampling": -1}, "dynamic_sampling=-1"),
        ({"scale_rewards": "rank"}, "scale_rewards='rank'"),
        ({"helpfulness_form": "sum"}, "helpfulness_form='sum'"),
        ({"skill_scope": "some"}, "skill_scope='some'"),
        ({"skills_in": "speech"}, "skills_in='speech'"),
        ({"page_width": 100}, "multiple of 28"),
        ({"template": "nonsense"}, "nonsense"),
        ({"success_reward": 0}, "success_reward=0"),
        ({"invalid_action_penalty": -1.0}, "invalid_action_penalty=-1.0"),
        ({"turn_micro_batch_size": 0}, "turn_micro_batch_size=0"),
        ({"env_workers": -1}, "env_workers=-1"),
        ({"env_timeout": 0.0}, "env_timeout=0.0"),
        ({"temperature": 0.0}, "temperature=0.0 .* greedy rollouts"),
        ({"beta": -0.1}, "beta=-0.1"),
        ({"remove_unused_columns": True}, "remove_unused_columns=True"),
        ({"generation_kwargs": {"seed": 1}}, "only reach vLLM"),
        ({"skills_in": "none", "budgets": [2, 0], "num_stages": None}, "budgets=.* never shows any"),
        ({"budgets": [2, 1, 0], "num_stages": 2}, "num_stages=2 contradicts the 3 budgets"),
        ({"check_sampling": True, "top_p": 0.9}, "check_sampling .* top_p=0.9"),
        (
            {
                "eval_strategy": "steps",
                "eval_steps": 2,
                "save_strategy": "steps",
                "save_steps": 4,
                "load_best_model_at_end": True,
            },
            "eval_steps=2 and save_steps=4 must be equal",
        ),
        ({"mask_truncated_completions": True}, "mask_truncated_completions=True is not supported"),
        ({"save_only_model": True}, "save_only_model=True .* cannot be resumed"),
        ({"ignore_data_skip": True}, "ignore_data_skip=True is not supported"),
        ({"enable_jit_checkpoint": True}, "enable_jit_checkpoint=True .* SIGTERM saves without it"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size=True .* a round stays as large"),
        ({"log_multimodal": False}, "log_multimodal=False .* never logged as pictures"),
        ({"top_entropy_quantile": 0.5}, "top_entropy_quantile=0.5 is not supported"),
        ({"use_transformers_continuous_batching": True}, "cannot generate from images"),
        ({"paired_fraction": 1.5}, "paired_fraction=1.5"),
        ({"paired_fraction": 0.5, "num_generations": 3, "per_device_train_batch_size": 3}, "must be even"),
        ({"paired_fraction": 0.5, "skills_in": "none"}, "skills_in='none' never shows any"),
        ({"arm_advantages": "half"}, "arm_advantages='half'"),
        ({"internalization_weight": 1.0}, "internalization_weight=1.0 needs paired groups"),
        ({"policy_weight": 0.0}, "leave no loss to train with"),
        ({"policy_weight": -1.0}, "policy_weight=-1.0 must be finite and not negative"),
        ({"internalization_weight": -1.0}, "internalization_weight=-1.0"),
        ({"internalization_clip": 0.0}, "internalization_clip=0.0"),
        ({"internalization_warmup_steps": 0}, "internalization_warmup_steps=0"),
        ({"internalization_weighting": "reward"}, "internalization_weighting='reward'"),
        ({"internalization_tokens": "thought"}, "internalization_tokens='thought'"),
        ({"internalization_mean": "batch"}, "internalization_mean='batch'"),
        ({"internalization_replay": -1}, "internalization_replay=-1"),
        ({"internalization_replay": 4, "internalization_memory": 3}, "internalization_memory=3"),
        ({"helpfulness_from": "guesses"}, "helpfulness_from='guesses'"),
        ({"helpfulness_from": "paired"}, "helpfulness_from='paired' needs paired groups"),
        (
            {"helpfulness_from": "both", "paired_fraction": 1.0, "helpfulness_form": "marginal"},
            "helpfulness_from='both' .* helpfulness_form='set', not 'marginal'",
        ),
        (
            {"helpfulness_from": "paired", "paired_fraction": 1.0, "helpfulness_form": "marginal"},
            "helpfulness_from='paired' .* helpfulness_form='set', not 'marginal'",
        ),
        ({"selection_confidence": 0.5}, "selection_confidence=0.5"),
        (
            {"selection_confidence": 0.9, "helpfulness_filter": "none"},
            "selection_confidence=0.9 .* helpfulness_filter='none' keeps every file",
        ),
        ({"min_p": 0.1}, "min_p=0.1 is not supported"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(tmp_path, **changes)


def test_what_is_refused_exists_in_the_parent() -> None:
    assert {*UNSUPPORTED} <= {item.name for item in fields(Skill0Config)}


def test_a_copy_with_changes_is_checked_like_the_first(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    copy = replace(config, generation_batch_size=None, learning_rate=0.5)
    assert copy.learning_rate == 0.5
    with pytest.raises(ConfigError, match="loss_mean='x'"):
        replace(config, generation_batch_size=None, loss_mean="x")


def test_every_own_setting_is_documented() -> None:
    from trl import GRPOConfig

    own = {item.name for item in fields(Skill0Config)} - {item.name for item in fields(GRPOConfig)}
    documentation = Skill0Config.__doc__ or ""
    missing = {name for name in own if f"        {name} (`" not in documentation}
    assert not missing
