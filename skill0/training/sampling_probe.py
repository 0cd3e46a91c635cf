"""A probe turn: the sampler draws a reply, the trainer scores it, and both must agree on its probabilities.

Where they do not, a run trains on numbers that mean nothing: the sampler has other weights (a vLLM server
with another model, or adapters that were not merged), sees another prompt or no image, or reports
probabilities before temperature. None of this raises an error by itself. So one turn is tried before training
begins and, to debug, before every round, just after the weights were sent to the sampler.

The probe draws from random numbers of its own (vLLM from vLLM's) and leaves no gradients: a run with it is
trained exactly as one without. Left out: policies that are not the trainer's own, such as scripts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from skill0.agent.policy import EpisodeState
from skill0.agent.prompting import build_input
from skill0.agent.trajectory import Turn
from skill0.envs.base import Observation
from skill0.errors import PolicyError
from skill0.training import trl_internals
from skill0.training.rollout import TrainerPolicy, VllmPolicy, derived_seed
from skill0.training.turn_buffer import TrainingTurn

if TYPE_CHECKING:
    from skill0.agent.policy import PolicyInput, PolicyOutput
    from skill0.training.trainer import Skill0Trainer

logger = logging.getLogger(__name__)

PROBES = ("start", "sync", "off")
EXACT_TOLERANCE = 1e-3
"""Nats per token: both sides in float32 with transformers, which differ by the order of sums alone."""
ROUNDED_TOLERANCE = 0.1
"""Nats per token: half precision or vLLM, whose kernels round differently. Wrong weights, temperatures or
images show as several tenths at least."""
PROBE_TOKENS = 32


@dataclass(frozen=True)
class Agreement:
    """Absolute differences of log-probabilities over a probe turn's tokens, the largest of all processes:
    their mean, and their largest; `tokens` of this process's turn that have a log-probability."""

    mean: float
    largest: float
    tokens: int


class SamplingProbe(TrainerCallback):
    """Probes at the start of training and, with `when="sync"`, before every round of rollouts too."""

    def __init__(self, trainer: Skill0Trainer, when: str) -> None:
        self.trainer = trainer
        self.when = when
        self.probed_at = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._probe(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        between = trl_internals.windows_done(self.trainer) % self.trainer.windows_per_round == 0
        if self.when == "sync" and between and state.global_step != self.probed_at:
            self._probe(state.global_step)

    def _probe(self, step: int) -> None:
        if not isinstance(self.trainer.loop.policy, (TrainerPolicy, VllmPolicy)):
            return
        self.probed_at = step
        found = check_agreement(self.trainer)
        if self.when == "sync":
            self.trainer.record("sampling/probe_difference", found.mean)
        logger.info("step %d: sampler and trainer differ by %.2g nats per token", step, found.mean)


def check_agreement(trainer: Skill0Trainer) -> Agreement:
    """Sample and score one turn. All processes together.

    Raises:
        PolicyError: the mean difference is larger than `sampling_tolerance`, on some process.
    """
    found = agreement(trainer)
    bound = tolerance(trainer)
    if found.mean > bound:
        raise PolicyError(
            f"sampler and trainer disagree on a probe turn: log-probabilities differ by {found.mean:.3g} "
            f"nats per token (largest {found.largest:.3g}), more than {bound:.3g}. {_advice(trainer)} If the "
            "difference is only rounding, raise sampling_tolerance; sampling_probe='off' does not look."
        )
    return found


def tolerance(trainer: Skill0Trainer) -> float:
    """`sampling_tolerance`, or the bound that fits what samples and scores here."""
    if trainer.args.sampling_tolerance is not None:
        return trainer.args.sampling_tolerance
    return EXACT_TOLERANCE if trl_internals.samples_exactly(trainer) else ROUNDED_TOLERANCE


def agreement(trainer: Skill0Trainer) -> Agreement:
    """How far sampler and trainer differ on one turn of real size."""
    # Without filters: vLLM reports probabilities after them, the trainer knows none.
    sampling = trainer.args.rollout_sampling()
    tokens = min(PROBE_TOKENS, sampling.max_new_tokens)
    item = probe_input(trainer)
    (output,) = trainer.loop.policy.generate(
        [item], replace(sampling, top_p=1.0, top_k=0, max_new_tokens=tokens)
    )
    assert output.logprobs is not None
    sampled = torch.tensor(output.logprobs, dtype=torch.float32)  # (tokens,)
    scored = _scored(trainer, item, output)  # (tokens,)
    differences = (scored - sampled).abs()[sampled.isfinite()]  # (tokens reported,)
    here = torch.zeros(2) if not len(differences) else torch.stack([differences.mean(), differences.max()])
    everywhere = trainer.accelerator.gather(here.to(trainer.accelerator.device))
    assert isinstance(everywhere, torch.Tensor)
    mean, largest = everywhere.view(-1, 2).amax(dim=0).tolist()
    return Agreement(mean, largest, len(differences))


def probe_input(trainer: Skill0Trainer) -> PolicyInput:
    """The prompt of a first turn on the first training task, with the skills it is shown now."""
    task = trainer.tasks[0]
    observation = Observation(task.instruction, task.instruction, None)
    state = EpisodeState(task, observation, skills=tuple(trainer.skills_for(task)))
    seed = derived_seed(trainer.args.seed, "sampling probe")
    return build_input(trainer.agent_settings, trainer.renderer, state, 1.0, seed)


def _scored(trainer: Skill0Trainer, item: PolicyInput, output: PolicyOutput) -> torch.Tensor:
    """The trainer's log-probabilities of a reply, float32 (tokens,), computed as those of a round."""
    turn = Turn(
        prompt_ids=output.prompt_ids, completion_ids=output.completion_ids, logprobs=output.logprobs,
        page=item.page, action_mask=(), observation="", reply=output.text, action="", compression=None,
        valid=True, reward=0.0, text_tokens=0, visual_tokens=0,
    )  # fmt: skip
    with trl_internals.scoring(trainer):
        batch = trainer.collate([TrainingTurn(turn, advantage=0.0, weight=0.0)])
        logprobs, _ = trl_internals.token_logprobs(trainer, trl_internals.bare_model(trainer), batch)
    return logprobs[0].float().cpu()  # of (1, tokens)


def _advice(trainer: Skill0Trainer) -> str:
    if not trainer.args.use_vllm:
        return (
            "Both are this process's model: look for code that changes the model between sampling and "
            "training, such as a patched forward pass, an attention kernel that mishandles padding, or "
            "dropout that eval mode does not switch off."
        )
    return (
        "vLLM must serve the very model that is trained (same folder, same dtype), report probabilities "
        "after temperature (a server needs --logprobs-mode processed_logprobs), and be sent the weights: "
        "with adapters, merged ones."
    )
