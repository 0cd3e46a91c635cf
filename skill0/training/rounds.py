"""A round of the trainer: curriculum, rollouts, credit, windows, and what is logged about them.

Functions over a `Skill0Trainer`, in the order in which a round calls them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object

from skill0.agent import Turn
from skill0.agent.prompting import blank_input
from skill0.curriculum import helpfulness_from_groups
from skill0.evaluation import measure_helpfulness
from skill0.training import trl_internals
from skill0.training.credit import assign_credit, signal_share
from skill0.training.episodes import play_round
from skill0.training.internalization import share
from skill0.training.loss import STATISTICS
from skill0.training.metrics import phase_seconds, rollout_metrics
from skill0.training.pairing import PairsSoFar, comparison_metrics, group_effects, pair_metrics
from skill0.training.plain_view import turns_to_internalize
from skill0.training.rewards import trajectory_reward
from skill0.training.rollout import derived_seed
from skill0.training.scoring import score_windows
from skill0.training.turn_buffer import cut_windows, training_turns

if TYPE_CHECKING:
    from skill0.agent import AgentSettings, Trajectory
    from skill0.context import ContextRenderer
    from skill0.curriculum import Helpfulness
    from skill0.policy import PromptEncoder
    from skill0.training.trainer import Skill0Trainer, Window
    from skill0.training.turn_buffer import TrainingTurn

logger = logging.getLogger(__name__)


def make_round(trainer: Skill0Trainer, rows: Sequence[Mapping[str, Any]]) -> list[Window]:
    """Plays this process's rows and returns the windows of the round. Called by all processes together."""
    args, step = trainer.args, trainer.state.global_step
    number = trl_internals.windows_done(trainer) // trainer.windows_per_round
    update_curriculum(trainer, step)
    played = play_round(trainer, rows, number)
    credit = assign_credit(played.summaries, args.estimator_settings())
    trainer.pairs.add(played.everything, number * args.groups_per_round * (1 + args.dynamic_sampling))
    first_row = trainer.accelerator.process_index * len(rows)
    mine = slice(first_row, first_row + len(rows))
    plain_turns, learnt_from = turns_to_internalize(
        trainer,
        played.trajectories,
        played.groups,
        credit.advantages[mine],
        group_effects(played.summaries, args.success_reward),
    )
    turns = training_turns(
        played.trajectories, credit.advantages[mine], credit.weights[mine], credit.entropy_weight
    )
    windows = _windows(trainer, turns, plain_turns, derived_seed(args.seed, "windows", number))
    everything = played.everything
    figures = rollout_metrics(everything) | phase_seconds(everything, trainer.accelerator.num_processes)
    figures |= {
        "frac_reward_zero_std": credit.flat_groups,
        "groups/signal": signal_share(played.summaries, credit),
    }
    figures |= credit.figures | (played.figures() if args.dynamic_sampling else {})
    figures |= pair_metrics(group_effects(everything, args.success_reward))
    figures |= learnt_from | curriculum_metrics(trainer, step)
    figures |= score_windows(trainer, windows)
    trl_internals.record(trainer, "train", figures)
    if trainer.log_completions:
        record_replies(trainer, played.trajectories, credit.advantages[mine])
    return windows


def update_curriculum(trainer: Skill0Trainer, step: int) -> None:
    """One round of algorithm 1, if one is due at this step or was due since the round before."""
    curriculum = trainer.curriculum
    if curriculum is None or trainer.bank is None or trainer.grouping is None:
        return
    for known in (trainer.helpfulness, trainer.helpfulness_paired):
        for name in set(known) - set(curriculum.active):
            del known[name]
    if not any(curriculum.due(due) for due in range(max(0, step - trainer.steps_per_round + 1), step + 1)):
        return
    start = time.perf_counter()
    change = curriculum.update(step, _measure(trainer, step))
    trainer.pairs = PairsSoFar()
    trainer.record("time/validation", time.perf_counter() - start)
    if trainer.accelerator.is_main_process:
        for name, reason in change.reasons.items():
            logger.info("step %d, stage %d: %s %s", step, change.stage, name, reason)


def _measure(trainer: Skill0Trainer, step: int) -> dict[str, Helpfulness]:
    """Delta_k of every active file from where the settings say, if the curriculum looks at it now."""
    curriculum, args = trainer.curriculum, trainer.args
    assert curriculum is not None
    assert trainer.bank is not None
    assert trainer.grouping is not None
    paired = {}
    if args.paired_fraction > 0:
        paired = helpfulness_from_groups(
            trainer.pairs.episodes, trainer.grouping.task_types_for, curriculum.active
        )
        trainer.helpfulness_paired |= _deltas(paired)
    if not curriculum.needs_helpfulness(step):
        return {}
    if args.helpfulness_from == "paired":
        trainer.record("validation/episodes", 0.0)
        trainer.helpfulness |= _deltas(paired)
        return paired
    report = measure_helpfulness(
        trainer.loop,
        trainer.validation_tasks,
        trainer.bank,
        trainer.grouping,
        curriculum.active,
        args.helpfulness_form,
        sampling=args.validation_sampling(),
        seed=derived_seed(args.seed, "validation", step),
        batch_size=args.generation_batch_limit,
        scope=args.skill_scope,  # type: ignore[arg-type]
        progress=not args.disable_tqdm,
        ranks=trainer.ranks,
    )
    measured = dict(report.helpfulness)
    trainer.record("validation/episodes", float(report.report.episodes))
    if args.helpfulness_from == "both":
        costs = {"validation": report.report.env_steps, "paired": trainer.pairs.env_steps}
        trl_internals.record(trainer, "train", comparison_metrics(measured, paired, costs))
    trainer.helpfulness |= _deltas(measured)
    return measured


def _deltas(measured: Mapping[str, Helpfulness]) -> dict[str, float]:
    return {name: item.delta for name, item in measured.items() if item.delta is not None}


def curriculum_metrics(trainer: Skill0Trainer, step: int) -> dict[str, float]:
    """Where the curriculum stands; helpfulness as last measured, for files that were in context then and,
    unless it was measured just now, still are."""
    curriculum = trainer.curriculum
    if curriculum is None:
        return {}
    figures = {
        "curriculum/stage": float(curriculum.stage(step)),
        "curriculum/budget": float(curriculum.budget(step)),
        "curriculum/active_files": float(len(curriculum.active)),
    }
    figures |= {f"helpfulness/{name}": delta for name, delta in trainer.helpfulness.items()}
    return figures | {
        f"helpfulness_paired/{name}": delta for name, delta in trainer.helpfulness_paired.items()
    }


def record_replies(
    trainer: Skill0Trainer, trajectories: Sequence[Trajectory], advantages: Sequence[Sequence[float]]
) -> None:
    """Fills TRL's table of completions (`log_completions`): observation, reply, reward of the episode."""
    rows = [
        (turn.observation, turn.reply, reward, advantage)
        for trajectory, values in zip(trajectories, advantages, strict=True)
        for reward in [trajectory_reward(trajectory, trainer.reward_settings, step=trainer.state.global_step)]
        for turn, advantage in zip(trajectory.turns, values, strict=True)
    ]
    trl_internals.record_completions(trainer, gather_object(rows))


def record_learning(trainer: Skill0Trainer) -> None:
    """Logs what the loss was made of in one optimizer step, over all processes."""
    sums = torch.cat([trainer.loss_sums, trainer.internalization_sum])
    totals = trainer.accelerator.reduce(sums.to(trainer.accelerator.device, torch.float32), reduction="sum")
    assert isinstance(totals, torch.Tensor)
    *values, internalization = totals.tolist()
    figures: dict[str, float] = dict(zip(STATISTICS, values, strict=True))
    trainer.loss_sums.zero_()
    trainer.internalization_sum.zero_()
    if trainer.internalization.weight > 0:
        factor = share(trainer.state.global_step, trainer.internalization)
        trainer.record("internalization/lambda", factor)
        if factor > 0:
            # As in `compute_loss`: an optimizer step stands for the whole round that its windows are part of.
            scale = trainer.args.round_windows / trainer.current_gradient_accumulation_steps
            trainer.record("internalization/loss", internalization * scale)
    trainer.record("time/learning", trainer.seconds["learning"])
    trainer.seconds["learning"] = 0.0
    tokens = figures.pop("tokens")
    trainer.record("learning/tokens", tokens)
    if tokens:
        names = {
            "entropy": "entropy",
            "clipped_low": "clip_ratio/low_mean",
            "clipped_high": "clip_ratio/high_mean",
        }
        if trainer.beta != 0.0:
            names["kl"] = "kl"
        for key, name in names.items():
            trainer.record(name, figures[key] / tokens)


def padding_turn(encoder: PromptEncoder, settings: AgentSettings, renderer: ContextRenderer) -> Turn:
    """A turn that weighs nothing: an empty prompt, a blank page if prompts have pages, an end token."""
    blank = blank_input(settings, renderer)
    return Turn(
        prompt_ids=encoder.encode(blank), completion_ids=(encoder.eos_token_id,), logprobs=(0.0,),
        page=blank.page, action_mask=(False,), observation="", reply="", action="", compression=None,
        valid=False, reward=0.0, text_tokens=0, visual_tokens=0,
    )  # fmt: skip


def _windows(
    trainer: Skill0Trainer, turns: Sequence[TrainingTurn], plain_turns: Sequence[TrainingTurn], seed: int
) -> list[Window]:
    """The windows of this process, as many and as large as those of the others: its turns, and those that
    the internalization loss looks at."""
    # Where only advantages move the policy, turns without one change nothing: they are left out.
    everything = trainer.beta != 0.0 or trainer.args.entropy_coef != 0.0
    kept = [item for item in turns if everything or item.advantage != 0.0]
    if trainer.args.policy_weight == 0.0:
        kept = []
    kept += plain_turns
    return cut_windows(
        kept,
        windows=trainer.args.round_windows,
        longest=max(gather_object([len(kept)])),
        micro_batch_size=trainer.args.turn_micro_batch_size,
        padding=trainer.padding_turn,
        seed=seed,
    )
