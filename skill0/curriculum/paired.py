"""Delta_k from the rollouts that training plays anyway: groups of episodes of one task that hold two arms.

Some members of such a group act with the active skills, the others without. Delta_g of a group is the
difference of the two success rates, and Delta_k the mean of Delta_g over the groups whose task type file k
serves. In words this is the treatment effect of SIRI (arXiv 2606.02355) and the contrast of SKILLC
(2605.27899), averaged to the per-file figure that algorithm 1 of SKILL0 (2604.02268) asks for. Deviations:
no running average over updates (a file is judged by the policy as it was in the groups handed in), and a
group with an empty arm is left out, since it says nothing about a difference.

Left out: playing the groups, and which of them to hand in (all must have run with the same active set).
Tests: tests/curriculum/test_paired.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

from skill0.curriculum.helpfulness import MARGINAL_FORM, SET_FORM, ArmCounts, Helpfulness
from skill0.errors import ConfigError


@dataclass(frozen=True)
class PairedEpisode:
    """How one rollout of a group ended. `won` is None for an infrastructure failure, which counts nowhere.

    `group` identifies the group: one task, played in one round.
    """

    group: Hashable
    task_type: str
    with_skills: bool
    won: bool | None


@dataclass(frozen=True)
class PairedGroup:
    """A group with at least one valid episode in each arm: its task type, and what was won of what."""

    task_type: str
    counts: ArmCounts

    @property
    def effect(self) -> float:
        """Delta_g: the success rate with skills less the one without, in [-1, 1]."""
        return self.counts.with_rate - self.counts.without_rate


def paired_groups(episodes: Iterable[PairedEpisode]) -> dict[Hashable, PairedGroup]:
    """Group id -> the group, in order of first appearance; groups with an empty arm are left out.

    Raises:
        ConfigError: the episodes of a group name different task types.
    """
    task_types: dict[Hashable, str] = {}
    arms: dict[Hashable, dict[bool, list[bool]]] = {}
    for episode in episodes:
        task_type = task_types.setdefault(episode.group, episode.task_type)
        if task_type != episode.task_type:
            raise ConfigError(
                f"the rollout group {episode.group!r} holds tasks of the types {task_type!r} and "
                f"{episode.task_type!r}: a group is rollouts of one task, so give each group its own id"
            )
        members = arms.setdefault(episode.group, {True: [], False: []})
        if episode.won is not None:
            members[episode.with_skills].append(bool(episode.won))
    return {
        group: PairedGroup(
            task_types[group],
            ArmCounts(sum(shown[True]), len(shown[True]), sum(shown[False]), len(shown[False])),
        )
        for group, shown in arms.items()
        if shown[True] and shown[False]
    }


def helpfulness_from_groups(
    episodes: Iterable[PairedEpisode],
    task_types_for: Callable[[str], Collection[str]],
    names: Sequence[str],
    form: str = SET_FORM,
) -> dict[str, Helpfulness]:
    """Delta_k of the files `names` from the rollouts of two-armed groups; name -> `Helpfulness`.

    `with_skills` and `without_skills` are means over groups of the group's success rate in that arm, so that
    every task weighs the same however its rollouts are split; `tasks` is the number of groups, `counts` the
    episodes in them. A file that no group served is reported as not measured.

    Args:
        episodes: rollouts, in any order; groups with one arm may be among them and do not count.
        task_types_for: the task types that a file serves, such as `Grouping.task_types_for`.
        names: the files in context while these groups were played, no others: of a file that was shown in
            neither arm they say nothing.
        form: what the plain arm ran without. "set": without any skills. "marginal": with the active set less
            one file, which `names` then has to hold alone.

    Raises:
        ConfigError: a group of several task types, an unknown form, or several names in the marginal form.
    """
    if form == MARGINAL_FORM and len(names) != 1:
        raise ConfigError(
            f"in the marginal form the plain arm lacks one file, but names={list(names)}; "
            "give the groups of each file by themselves"
        )
    groups = list(paired_groups(episodes).values())
    measured = {}
    for name in names:
        served = frozenset(task_types_for(name))
        measured[name] = _mean_effect(name, [group for group in groups if group.task_type in served], form)
    return measured


def _mean_effect(name: str, groups: Sequence[PairedGroup], form: str) -> Helpfulness:
    if not groups:
        return Helpfulness(name, None, None, None, 0, form)
    counts = [group.counts for group in groups]
    rate_with = sum(item.with_rate for item in counts) / len(groups)
    rate_without = sum(item.without_rate for item in counts) / len(groups)
    return Helpfulness(
        name,
        rate_with,
        rate_without,
        rate_with - rate_without,
        len(groups),
        form,
        counts=ArmCounts(
            with_wins=sum(item.with_wins for item in counts),
            with_trials=sum(item.with_trials for item in counts),
            without_wins=sum(item.without_wins for item in counts),
            without_trials=sum(item.without_trials for item in counts),
        ),
    )
