"""GiGPO: credit for single steps, from steps of a group's trajectories that were taken in the same state.

Group-in-Group Policy Optimization (arXiv 2505.10978). Beside the advantage of its episode (advantages.py) a
turn gets one among the turns that stood before the same *anchor state*:

    return     R_t = sum over k >= t of gamma^(k - t) * r_k
    step       A^S_t = (R_t - mean of R over the anchor group) / F_norm
    in all     A_t = A^E + omega * A^S_t

F_norm is the standard deviation of the anchor group (scale "group") or 1 ("none"). An anchor group holds the
turns of one rollout group (of one arm of it, where statistics are taken by arm) whose anchors are equal, or
similar. A turn that is alone in its anchor group has A^S = 0: where no state recurs this is GRPO.

**The anchor is what the environment said**: the observation, and if asked for the admissible actions. It is
never read from the prompt, so it holds no skill text, no history and no page, and both arms of a pair can
share anchors.

Similar anchors are found as in the published code: a text joins the first cluster whose first member it
matches with a ratio of difflib's SequenceMatcher of at least the threshold, else it founds one. The result
depends on the order of turns, which is that of rows; and it costs a comparison of each new text with every
cluster, quadratic in the text's length (docs/estimators.md has figures). Pure functions.
Tests: tests/training/test_gigpo.py, numbers worked out by hand and a comparison with a naive loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skill0.training.advantages import grpo

if TYPE_CHECKING:
    from skill0.agent import Turn

ANCHORS = ("observation", "admissible")


@dataclass(frozen=True)
class StepAdvantages:
    """`values`: A^S of every turn, float64 (turns,). `alone`: the share of the counted turns whose anchor
    nobody shares. `group_size`: mean number of counted turns of an anchor group."""

    values: NDArray[np.float64]
    alone: float
    group_size: float


def anchor_text(turn: Turn, contents: str, *, digest: bool) -> str:
    """The anchor of a turn: the observation it answered, and with `contents` "admissible" the set of commands
    that the environment would have accepted. `digest` gives a short text that is equal for equal anchors.

    Raises:
        ValueError: "admissible" of a turn that does not know its observation (`Turn.state` is None).
    """
    parts = [turn.observation]
    if contents == "admissible":
        if turn.state is None:
            raise ValueError("a turn without state does not know which actions were admissible")
        parts += sorted(turn.state.observation.admissible or ())
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32] if digest else text


def discounted_returns(rewards: ArrayLike, discount: float) -> NDArray[np.float64]:
    """R_t of every turn of one trajectory, (turns,), from its rewards r_t, (turns,)."""
    reward = np.asarray(rewards, dtype=np.float64)  # (turns,)
    returns = np.zeros_like(reward)
    following = 0.0
    for turn in range(reward.size - 1, -1, -1):
        following = reward[turn] + discount * following
        returns[turn] = following
    return returns


def anchor_groups(
    anchors: Sequence[str], groups: Sequence[Hashable], similarity: float = 1.0
) -> NDArray[np.int64]:
    """The number of each turn's anchor group, (turns,).

    Args:
        anchors: the anchor of each turn (`anchor_text`).
        groups: what a turn may share anchors within: its rollout group, or its arm of it.
        similarity: 1 for equal anchors only; below, the least ratio at which two anchors are one.
    """
    known: dict[tuple[Hashable, str], int] = {}
    founders: dict[Hashable, list[tuple[int, str]]] = {}
    found = 0
    numbers = np.zeros(len(anchors), dtype=np.int64)
    for turn, (anchor, group) in enumerate(zip(anchors, groups, strict=True)):
        # A text seen before joins whatever cluster it joined then.
        number = known.get((group, anchor))
        if number is None:
            clusters = founders.setdefault(group, [])
            number = _first_similar(anchor, clusters, similarity) if similarity < 1.0 else None
            if number is None:
                number, found = found, found + 1
                clusters.append((number, anchor))
            known[group, anchor] = number
        numbers[turn] = number
    return numbers


def _first_similar(text: str, clusters: Sequence[tuple[int, str]], similarity: float) -> int | None:
    # autojunk, difflib's default, skips what is frequent in texts of 200 characters and more: all letters.
    matcher = SequenceMatcher(None, autojunk=False)
    matcher.set_seq2(text)
    for number, founder in clusters:
        matcher.set_seq1(founder)
        # Both quick ratios are upper bounds.
        bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
        if all(ratio() >= similarity for ratio in bounds):
            return number
    return None


def step_advantages(
    returns: ArrayLike,
    anchor_group: ArrayLike,
    *,
    counted: ArrayLike | None = None,
    scale: str = "group",
    baseline: str = "mean",
    owners: ArrayLike | None = None,
    epsilon: float = 1e-4,
) -> StepAdvantages:
    """A^S of every turn: `advantages.grpo` of the returns within anchor groups.

    `returns`, `anchor_group` (`anchor_groups`), `counted` and `owners` (the trajectory of each turn, for the
    leave-one-out baseline) are (turns,); the rest, errors too, is as in `advantages.grpo`.
    """
    label = np.asarray(anchor_group)  # (turns,)
    result = grpo(
        returns, label, counted=counted, scale=scale, baseline=baseline, owners=owners, epsilon=epsilon
    )
    counts = np.ones(label.shape, dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    _, sizes = np.unique(label[counts], return_counts=True)  # (anchor groups,)
    if not sizes.size:
        return StepAdvantages(result.values, 0.0, 0.0)
    return StepAdvantages(result.values, float((sizes == 1).sum() / sizes.sum()), float(sizes.mean()))
