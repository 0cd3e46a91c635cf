"""Generation on vLLM through TRL, with a stand-in of TRL's interface: weights are sent, ratios correct."""

from __future__ import annotations

import inspect
import math
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from colours import history, make_trainer
from colours_world import make_tasks
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration
from vllm_stand_in import StandIn

from skill0.agent import PolicyInput, Sampling
from skill0.errors import PolicyError
from skill0.training import trl_internals
from skill0.training.loss import sampler_correction
from skill0.training.rollout import VllmPolicy
from skill0.training.sampling_probe import agreement

MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


class TestCorrection:
    def by_trl(self, trainer: Any, sampler: Any, mask: Any, **settings: Any) -> torch.Tensor:
        """TRL's own lines, cut out of the method that they stand in."""
        source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
        start = source.index("                mask = completion_mask if tool_mask is None")
        end = source.index("            # Compute the per-token log probabilities for the reference model")
        names: dict[str, Any] = {
            "self": SimpleNamespace(**settings), "completion_mask": mask, "tool_mask": None, "torch": torch,
            "math": math, "old_per_token_logps": trainer, "sampling_per_token_logps": sampler,
        }  # fmt: skip
        exec(textwrap.dedent(source[start:end]), names)
        return names["vllm_importance_sampling_ratio"]

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("low", "high"), [(None, 3.0), (0.5, 2.0), (0.9, None), (None, 1.0)])
    def test_it_is_trls(self, mode: str, low: float | None, high: float | None) -> None:
        draw = torch.Generator().manual_seed(0)
        trainer = -torch.rand(40, 7, generator=draw, dtype=torch.float64)
        sampler = trainer + torch.randn(40, 7, generator=draw, dtype=torch.float64)
        sampler[::5, 2] = math.nan
        mask = (torch.rand(40, 7, generator=draw) < 0.8).long()
        expected = self.by_trl(
            trainer, sampler, mask, vllm_importance_sampling_mode=mode,
            vllm_importance_sampling_clip_min=low, vllm_importance_sampling_clip_max=high,
        )  # fmt: skip
        found = sampler_correction(trainer, sampler, mask, mode=mode, clip_min=low, clip_max=high)
        assert torch.equal(found, expected)
        assert found.shape == ((40, 7) if mode.startswith("token") else (40, 1))


def vllm_trainer(
    monkeypatch: pytest.MonkeyPatch, policy: Path, folder: Path, backend: type = StandIn, **changes: Any
) -> Any:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", backend)
    settings = {"skills": None, "max_steps": 2, "learning_rate": 0.01, "temperature": 0.7, **changes}
    return make_trainer(policy, folder, use_vllm=True, per_device_train_batch_size=8, **settings)


@pytest.mark.parametrize("vllm_mode", ["colocate", "server"])
def test_a_run_on_vllm(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm_mode: str
) -> None:
    trainer = vllm_trainer(
        monkeypatch, colours_policy, tmp_path, sampling_probe="sync", sampling_tolerance=1e-3,
        vllm_mode=vllm_mode, vllm_importance_sampling_mode="token_truncate",
    )  # fmt: skip
    backend = trainer.vllm_generation
    assert backend.settings["mode"] == vllm_mode
    trainer.train()
    assert backend.synchronised == 2  # once a step, probes included
    for row in history(trainer):
        assert row["sampling/probe_difference"] < 1e-4
        assert row["sampling/logp_difference_max"] < 1e-4
    assert {"skill0", *backend.settings["generation_kwargs"]} == {"skill0", "logit_bias"}
    biased = backend.settings["generation_kwargs"]["logit_bias"]
    assert set(trainer.encoder.vision_token_ids) == set(biased)


def test_adapters_are_sent_merged(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peft = pytest.importorskip("peft")
    trainer = vllm_trainer(
        monkeypatch, colours_policy, tmp_path, sampling_probe="sync", sampling_tolerance=1e-3,
        peft_config=peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)"),
    )  # fmt: skip
    trainer.train()
    assert trainer.vllm_generation.synchronised == 2
    assert all(row["sampling/probe_difference"] < 1e-4 for row in history(trainer))


def test_the_best_weights_are_sent_when_they_are_loaded(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 1 is found best. Its weights are loaded after step 2, which vLLM has been sent to evaluate."""
    trainer = vllm_trainer(
        monkeypatch, colours_policy, tmp_path, learning_rate=0.05, eval_tasks=make_tasks(4, "eval"),
        eval_strategy="steps", eval_steps=1, save_strategy="steps", save_steps=1, sampling_probe="off",
        load_best_model_at_end=True, metric_for_best_model="success_without_skills",
    )  # fmt: skip
    evaluate = trainer.evaluate

    def scored(*arguments: Any, **settings: Any) -> dict[str, float]:
        success = 1.0 - 0.5 * (trainer.state.global_step - 1)
        return {**evaluate(*arguments, **settings), "eval_success_without_skills": success}

    monkeypatch.setattr(trainer, "evaluate", scored)
    trainer.train()
    assert Path(trainer.state.best_model_checkpoint).name == "checkpoint-1"
    backend = trainer.vllm_generation
    sent = backend.synchronised
    assert agreement(trainer).largest < 1e-4
    assert backend.synchronised == sent + 1


def test_weights_that_do_not_arrive_are_found_out(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(StandIn):
        forgets = True

    trainer = vllm_trainer(
        monkeypatch, colours_policy, tmp_path, Forgetful, sampling_probe="sync", sampling_tolerance=1e-4,
        learning_rate=0.05, max_steps=4, entropy_coef=0.1,
    )  # fmt: skip
    # The first probe still finds the weights that the run began with.
    with pytest.raises(PolicyError, match="be sent the weights"):
        trainer.train()
    assert trainer.state.global_step >= 1


def test_log_probabilities_before_temperature_are_found_out(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Untempered(StandIn):
        temperature_lost = True

    trainer = vllm_trainer(
        monkeypatch, colours_policy, tmp_path, Untempered, temperature=3.0, sampling_tolerance=0.01
    )
    with pytest.raises(PolicyError, match="processed_logprobs"):
        trainer.train()
    assert trainer.state.global_step == 0


class Answers:
    """TRL's interface with answers made up."""

    temperature = top_p = top_k = max_completion_length = 1

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def sync_weights(self) -> None:
        pass

    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any = None) -> Any:
        return self.answers


def asked(*answers: Any) -> Any:
    trainer = SimpleNamespace(
        vllm_generation=Answers(*answers), state=SimpleNamespace(global_step=0), _last_loaded_step=0
    )
    encoder = SimpleNamespace(
        encode=lambda item: (1, 2), decode=str, token_spans=lambda ids: (), vision_token_ids=(8, 9)
    )
    return VllmPolicy(trainer, encoder).generate([PolicyInput("", "", None)], Sampling())  # type: ignore[arg-type]


def test_answers_that_cannot_be_trained_on_are_refused() -> None:
    assert asked([[1, 2]], [[3, 4]], [[[-0.5], [-0.1]]], None)[0].completion_ids == (3, 4)
    with pytest.raises(PolicyError, match="sampled the vision token 9"):
        asked([[1, 2]], [[3, 9]], [[[-0.5], [-0.1]]], None)
    with pytest.raises(PolicyError, match="from other token ids than it was sent"):
        asked([[1, 2, 2]], [[3]], [[[-0.5]]], None)
    with pytest.raises(PolicyError, match="no log-probabilities"):
        asked([[1, 2]], [[3]], None, None)


def test_the_stand_in_is_used_as_trls_class_is() -> None:
    theirs = inspect.signature(VLLMGeneration.generate).parameters
    assert tuple(theirs) == tuple(inspect.signature(StandIn.generate).parameters)
    given = inspect.signature(VLLMGeneration.__init__).parameters
    assert {"model", "processing_class", "temperature", "max_completion_length", "generation_kwargs"} <= set(
        given
    )
    assert trl_internals.TESTED["trl"] == "1.16."
