"""What an episode leaves behind: turns, trajectories, and the groups they are rolled out in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skill0.envs.base import EnvFailure, Task
from skill0.skills.skill import SkillFile

if TYPE_CHECKING:
    from skill0.agent.policy import EpisodeState
    from skill0.context import Page

SUCCESS, FAILURE, INFRASTRUCTURE = "success", "failure", "infrastructure"


@dataclass(frozen=True)
class RolloutGroup:
    """`size` episodes of one task under one set of skill files (an *arm*; no files is the plain arm).

    `first_member` numbers the members when a group is split over several processes, so that each
    member draws the same random numbers wherever it runs.
    """

    task: Task
    size: int
    skills: tuple[SkillFile, ...] = ()
    first_member: int = 0

    @property
    def arm(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.skills)


@dataclass(frozen=True)
class Turn:
    """One prompt and one completion: one training sample.

    `prompt_ids` hold one image placeholder per visual token of `page` (none when `page` is None);
    `completion_ids` and `logprobs` are exactly as sampled (`logprobs` is None when the sampler gives
    none); `action_mask` marks the completion tokens inside the action tag. `observation` is the text
    the agent acted on, `reply` the decoded completion. `reward` is this turn's own part (the
    invalid-action penalty; a positive figure is a bonus). `state` is what the prompt was built from, so
    that it can be built again with other skills; None for a turn made in another way.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    page: Page | None
    action_mask: tuple[bool, ...]
    observation: str
    reply: str
    action: str
    compression: float | None
    valid: bool
    reward: float
    text_tokens: int
    visual_tokens: int
    state: EpisodeState | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Trajectory:
    """One episode. `outcome` is "success", "failure" or "infrastructure".

    An infrastructure trajectory carries its `failure` and takes no part in any statistic but its own
    count. `env_reward` is the sum of the environment's rewards, `info` what it told with its last step.
    """

    task: Task
    arm: tuple[str, ...]
    member: int
    turns: tuple[Turn, ...]
    outcome: str
    env_reward: float = 0.0
    failure: EnvFailure | None = None
    timings: dict[str, float] = field(default_factory=dict, compare=False)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.outcome == SUCCESS
