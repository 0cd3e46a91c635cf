"""The episodes of a round: played, summarised, and groups that teach nothing replaced by new ones.

Dynamic sampling is DAPO's (arXiv 2503.14476): a group in which no turn has an advantage has no gradient, so
its place is given to a group of another task. Here a *refill* replaces all such groups of the round at once,
and `dynamic_sampling` bounds the refills of a round; a group that the last one leaves without an advantage
stays in its place, as without dynamic sampling. A place keeps its arms: a paired group is replaced by one.
Which tasks are drawn follows from seed, round and refill alone, so a resumed run draws the same, and so does
any number of processes; each of them makes every refill, if only with no rows of its own.

A replaced group is lost for the loss, and for nothing else: its episodes are in all figures about rollouts
and in the pairs that helpfulness is measured on, or these would be about chosen tasks.
Tests: tests/training/test_episodes.py.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object
from tqdm import tqdm

from skill0.policy.sampling import end_token_ids
from skill0.training import trl_internals
from skill0.training.credit import EstimatorSettings, assign_credit, groups_with_signal
from skill0.training.gigpo import anchor_text
from skill0.training.metrics import summarise
from skill0.training.pairing import group_effects, groups_to_pair
from skill0.training.rollout import derived_seed, local_groups

if TYPE_CHECKING:
    from skill0.agent import Trajectory
    from skill0.training.internalization import InternalizationSettings
    from skill0.training.metrics import Summary
    from skill0.training.trainer import Skill0Trainer


@dataclass
class Episodes:
    """A round as it was played.

    `trajectories` and `groups` (the number of each one's group) are this process's, one a row; `summaries`
    those of the rows of all processes, in order. `replaced` are the summaries of groups that gave way to
    others. Numbers of groups differ within a round: a group at place p of refill r is p + r * places.
    """

    trajectories: list[Trajectory]
    groups: list[int]
    summaries: list[Summary]
    replaced: list[Summary] = field(default_factory=list)
    refills: int = 0
    left: int = 0
    """Groups without an advantage that are still there."""

    @property
    def everything(self) -> list[Summary]:
        """All that was played, replaced groups included."""
        return [*self.summaries, *self.replaced]

    def figures(self) -> dict[str, float]:
        """What dynamic sampling did."""
        return {
            "dynamic_sampling/refills": float(self.refills),
            "dynamic_sampling/replaced_groups": float(len({summary.group for summary in self.replaced})),
            "dynamic_sampling/extra_episodes": float(len(self.replaced)),
            "dynamic_sampling/flat_groups_left": float(self.left),
        }


def play_round(trainer: Skill0Trainer, rows: Sequence[Mapping[str, Any]], number: int) -> Episodes:
    """Round `number`, of which this process plays these rows. Called by all processes together."""
    args = trainer.args
    tasks = [row["task"] for row in rows]
    played = Episodes(*_play(trainer, tasks, number), [])
    played.summaries = _summaries(trainer, played.trajectories, played.groups)
    if not args.dynamic_sampling:
        return played
    settings, places = args.estimator_settings(), args.groups_per_round
    used: set[int] = set(gather_object(tasks))
    while True:
        flat = flat_groups(played.summaries, settings, trainer.internalization)
        played.left = len(flat)
        refill = played.refills + 1
        seed = derived_seed(args.seed, "refill", number, refill)
        drawn = tasks_to_draw([group % places for group in flat], len(trainer.tasks), used, seed)
        if not drawn or refill > args.dynamic_sampling:
            return played
        used |= set(drawn.values())
        _replace(trainer, played, drawn, number, refill)


def flat_groups(
    summaries: Sequence[Summary], settings: EstimatorSettings, internalization: InternalizationSettings
) -> list[int]:
    """The groups that nothing is learnt from, in order: no turn has an advantage, and the internalization
    loss, where it does not go by advantages, has nothing to imitate."""
    signal = groups_with_signal(summaries, assign_credit(summaries, settings))
    if internalization.weight > 0 and internalization.weighting != "advantage":
        effects = group_effects(summaries, settings.success_reward)
        signal |= {group for group, effect in effects.items() if effect is not None and effect > 0}
    return [group for group in dict.fromkeys(summary.group for summary in summaries) if group not in signal]


def tasks_to_draw(places: Sequence[int], tasks: int, used: Collection[int], seed: int) -> dict[int, int]:
    """A task number for each place, none of them used in the round yet. Where fewer are left than places, the
    last places get none."""
    fresh = [task for task in range(tasks) if task not in used]
    drawn = random.Random(seed).sample(fresh, min(len(fresh), len(places)))
    return dict(zip(places, drawn, strict=False))


def _replace(
    trainer: Skill0Trainer, played: Episodes, drawn: Mapping[int, int], number: int, refill: int
) -> None:
    """Play one refill, and put its groups where the drawn tasks belong."""
    places, size = trainer.args.groups_per_round, trainer.args.group_size
    first_row = trainer.accelerator.process_index * len(played.trajectories)
    mine = [row for row in range(len(played.trajectories)) if (first_row + row) // size in drawn]
    tasks = [drawn.get((first_row + row) // size, 0) for row in range(len(played.trajectories))]
    trajectories, groups = _play(trainer, tasks, number, refill=refill, only=drawn)
    for row, trajectory, group in zip(mine, trajectories, groups, strict=True):
        played.trajectories[row] = trajectory
        played.groups[row] = group + refill * places
    before = played.summaries
    played.summaries = _summaries(trainer, played.trajectories, played.groups)
    played.replaced += [
        old for old, new in zip(before, played.summaries, strict=True) if old.group != new.group
    ]
    played.refills = refill


def _play(
    trainer: Skill0Trainer,
    tasks: Sequence[int],
    number: int,
    *,
    refill: int = 0,
    only: Collection[int] | None = None,
) -> tuple[list[Trajectory], list[int]]:
    """This process's episodes of a round or of one of its refills, and the place of each one's group."""
    args = trainer.args
    groups, places = local_groups(
        [trainer.tasks[task] for task in tasks],
        first_row=trainer.accelerator.process_index * len(tasks),
        group_size=args.group_size,
        skills=trainer.skills_for,
        paired=groups_to_pair(
            seed=args.seed,
            round_number=number,
            groups=args.groups_per_round,
            fraction=args.paired_fraction,
        ),
        only=only,
    )
    hidden = args.disable_tqdm or not trainer.accelerator.is_main_process
    purpose = (number, "refill", refill) if refill else (number,)
    with tqdm(total=len(places), desc="episodes", leave=False, disable=hidden) as bar:
        trajectories = trainer.loop.run(
            groups,
            args.rollout_sampling(),
            derived_seed(args.seed, "round", *purpose),
            live_across_ranks=trainer.live_across_ranks,
            progress=partial(_advance, bar),
        )
    return trajectories, places


def _summaries(
    trainer: Skill0Trainer, trajectories: Sequence[Trajectory], groups: Sequence[int]
) -> list[Summary]:
    """Those of all processes, in the order of rows."""
    args = trainer.args
    anchor = None
    if args.advantage_estimator == "gigpo":
        # Only similar anchors need the text itself on every process.
        anchor = partial(anchor_text, contents=args.gigpo_anchor, digest=args.gigpo_similarity == 1.0)
    ends = end_token_ids(trl_internals.bare_model(trainer), trainer.encoder)
    return gather_object(
        [
            summarise(
                trajectory,
                group,
                trainer.reward_settings,
                step=trainer.state.global_step,
                end_tokens=ends,
                anchor=anchor,
            )
            for trajectory, group in zip(trajectories, groups, strict=True)
        ]
    )


def _advance(bar: Any, ended: int) -> None:
    bar.update(ended)
