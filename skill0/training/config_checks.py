"""What settings must be, and what they must not be together: the checks of `Skill0Config`."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from trl.trainer.grpo_config import GRPOConfig

from skill0.curriculum.helpfulness import FORMS, SET_FORM
from skill0.errors import ConfigError
from skill0.policy.encoding import PIXELS
from skill0.training.advantages import BASELINES, SCALES
from skill0.training.credit import ARM_STATISTICS, ESTIMATORS, STATISTICS
from skill0.training.gigpo import ANCHORS
from skill0.training.guards import ACTIONS, guard_settings
from skill0.training.loss import MEANS, OBJECTIVES, TRL_LOSS_TYPES
from skill0.training.sampling_probe import PROBES

if TYPE_CHECKING:
    from skill0.training.config import Skill0Config

SCOPES = ("relevant", "all")
SOURCES = ("validation", "paired", "both")

UNSUPPORTED = {
    "mask_truncated_completions": "a reply cut off at max_completion_length is invalid and pays its penalty",
    "multi_objective_aggregation": "there is one reward, equation 4",
    "reward_weights": "there is one reward, equation 4",
    "top_entropy_quantile": "entropy masks are not implemented over turns",
    "use_adaptive_entropy": "only a fixed entropy_coef is implemented over turns",
    "off_policy_mask_threshold": "off-policy masks are not implemented over turns",
    "router_aux_loss_coef": "mixture-of-experts models are not supported",
    "use_transformers_continuous_batching": "it cannot generate from images; use_vllm can",
    "min_p": "it is not part of skill0's sampling; use top_p or top_k",
    "repetition_penalty": "it is not part of skill0's sampling",
    "cache_implementation": "it is not part of skill0's sampling",
    "chat_template_kwargs": "prompts are built by skill0's own templates",
    "max_tool_calling_iterations": "there are no tools; max_turns bounds an episode",
    "save_only_model": "checkpoints without the optimizer cannot be resumed; save_model writes weights alone",
    "ignore_data_skip": "a resumed run would play the first tasks of its epoch again, and leave others out",
    "enable_jit_checkpoint": "SIGTERM saves without it, at the end of the round, where a run can be resumed",
    "auto_find_batch_size": "a round stays as large as it was set; turn_micro_batch_size fits it in memory",
    "log_multimodal": "pages are never logged as pictures",
    "pad_to_multiple_of": "micro-batches are padded to their longest turn",
}
"""Settings of `GRPOConfig` that have no meaning here, and why. Changing one raises `ConfigError`."""


def check_settings(config: Skill0Config) -> None:
    """Raises ConfigError on the first setting that is unknown, out of range or contradicts another."""
    check_choices(config)
    check_ranges(config)
    check_contradictions(config)
    check_pairing(config)
    check_estimator(config)


def refuse_unsupported(config: Skill0Config) -> None:
    parent = {item.name: item.default for item in fields(GRPOConfig)}
    for name, reason in UNSUPPORTED.items():
        if getattr(config, name) not in (parent[name], None):
            raise ConfigError(f"{name}={getattr(config, name)!r} is not supported by Skill0Trainer: {reason}")


def check_choices(config: Skill0Config) -> None:
    choices = {
        "advantage_estimator": ESTIMATORS,
        "gigpo_anchor": ANCHORS,
        "group_baseline": BASELINES,
        "group_statistics": STATISTICS,
        "loss_mean": MEANS,
        "loss_type": OBJECTIVES,
        "scale_rewards": SCALES,
        "importance_sampling_level": ("token", "sequence"),
        "helpfulness_form": FORMS,
        "skill_scope": SCOPES,
        "helpfulness_from": SOURCES,
        "arm_advantages": ARM_STATISTICS,
        "page_pixels": PIXELS,
        "sampling_probe": PROBES,
        "guards": ACTIONS,
    }
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ConfigError(
                f"{name}={getattr(config, name)!r} must be one of {allowed}{_hint(config, name)}"
            )


def _hint(config: Skill0Config, name: str) -> str:
    """How to say here what TRL calls a loss type."""
    if name != "loss_type":
        return ""
    found = TRL_LOSS_TYPES.get(config.loss_type)
    what = f"; TRL's {config.loss_type!r} is loss_type={found[0]!r}, loss_mean={found[1]!r}" if found else ""
    return what + "; the mean is chosen by loss_mean"


def check_ranges(config: Skill0Config) -> None:
    at_least = {
        "turn_micro_batch_size": 1,
        "generation_batch_limit": 1,
        "env_workers": 0,
        "curriculum_interval": 1,
        "num_validation_tasks": 1,
        "num_iterations": 1,
        "dynamic_sampling": 0,
    }
    for name, least in at_least.items():
        if getattr(config, name) < least:
            raise ConfigError(f"{name}={getattr(config, name)} must be at least {least}")
    if config.max_completion_length is None or config.max_completion_length < 1:
        raise ConfigError(f"max_completion_length={config.max_completion_length} must be at least 1")
    if not config.temperature > 0:
        raise ConfigError(
            f"temperature={config.temperature} must be above 0: greedy rollouts of a group are all the same"
        )
    for name in ("validation_temperature", "beta", "policy_weight"):
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name}={value} must be finite and not negative")
    if not 0 <= config.paired_fraction <= 1:
        raise ConfigError(f"paired_fraction={config.paired_fraction} must lie between 0 and 1")
    if config.selection_confidence is not None and not 0.5 < config.selection_confidence < 1:
        raise ConfigError(
            f"selection_confidence={config.selection_confidence} must lie between 0.5 and 1, or be None"
        )
    if config.env_timeout is not None and not config.env_timeout > 0:
        raise ConfigError(f"env_timeout={config.env_timeout} must be above 0 seconds")
    if config.sampling_tolerance is not None and not config.sampling_tolerance > 0:
        raise ConfigError(f"sampling_tolerance={config.sampling_tolerance} must be above 0 nats")
    guard_settings(config.guard_settings)


def check_contradictions(config: Skill0Config) -> None:
    if config.remove_unused_columns:
        raise ConfigError("remove_unused_columns=True would drop the tasks from the dataset; leave it False")
    if config.generation_kwargs and not config.use_vllm:
        raise ConfigError(
            f"generation_kwargs={config.generation_kwargs} only reach vLLM (use_vllm=True); without it, "
            "use temperature, top_p, top_k and max_completion_length"
        )
    if config.skills_in == "none" and config.budgets and any(config.budgets):
        raise ConfigError(
            f"budgets={config.budgets} allow skill files, but skills_in='none' never shows any; "
            "give budgets of 0 or another skills_in"
        )
    if (
        config.budgets is not None
        and config.num_stages is not None
        and len(config.budgets) != config.num_stages
    ):
        raise ConfigError(
            f"num_stages={config.num_stages} contradicts the {len(config.budgets)} budgets {config.budgets}"
        )
    if config.selection_confidence is not None and config.helpfulness_filter == "none":
        raise ConfigError(
            f"selection_confidence={config.selection_confidence} is asked of the filter, but "
            "helpfulness_filter='none' keeps every file; give another filter, or no confidence"
        )
    if (
        config.load_best_model_at_end
        and config.save_strategy == config.eval_strategy == "steps"
        and config.save_steps != config.eval_steps
    ):
        raise ConfigError(
            f"load_best_model_at_end=True needs a checkpoint at every evaluation, or the best would be lost "
            f"where there is none; eval_steps={config.eval_steps} and save_steps={config.save_steps} must be "
            "equal"
        )
    if config.check_sampling and (config.top_p < 1.0 or config.top_k > 0):
        raise ConfigError(
            f"check_sampling compares full distributions, but top_p={config.top_p} and top_k={config.top_k} "
            "cut them; switch one of them off"
        )


def check_pairing(config: Skill0Config) -> None:
    if config.paired_fraction > 0 and config.group_size % 2:
        raise ConfigError(
            f"num_generations={config.num_generations} must be even: paired_fraction="
            f"{config.paired_fraction} plays half of a group with skills and half without"
        )
    if config.paired_fraction > 0 and config.skills_in == "none":
        raise ConfigError(
            f"paired_fraction={config.paired_fraction} compares episodes with and without skills, but "
            "skills_in='none' never shows any"
        )
    if config.paired_fraction == 0 and config.internalization_weight > 0:
        raise ConfigError(
            f"internalization_weight={config.internalization_weight} needs paired groups to learn from; "
            "set paired_fraction"
        )
    if config.policy_weight == 0 and config.internalization_weight == 0:
        raise ConfigError(
            "policy_weight=0 and internalization_weight=0 leave no loss to train with; set one of them"
        )
    if config.paired_fraction == 0 and config.helpfulness_from != "validation":
        raise ConfigError(
            f"helpfulness_from={config.helpfulness_from!r} needs paired groups; set paired_fraction"
        )
    if config.helpfulness_form != SET_FORM and config.helpfulness_from != "validation":
        raise ConfigError(
            f"helpfulness_from={config.helpfulness_from!r} compares the active set with none, which is "
            f"helpfulness_form='set', not {config.helpfulness_form!r}"
        )


def check_estimator(config: Skill0Config) -> None:
    if config.arm_advantages == "contrast" and config.paired_fraction == 0:
        raise ConfigError(
            "arm_advantages='contrast' compares episodes with and without skills; set paired_fraction"
        )
    vllm_mode = config.vllm_importance_sampling_mode
    if (
        config.loss_type == "vespo"
        and config.use_vllm
        and config.vllm_importance_sampling_correction
        and not vllm_mode.startswith("token_")
    ):
        raise ConfigError(
            f"loss_type='vespo' weighs a reply by the ratios of its tokens; with use_vllm set "
            f"vllm_importance_sampling_mode to 'token_truncate' or 'token_mask', not {vllm_mode!r}"
        )
