"""The agent loop: many episodes side by side, one generate call per turn for all that are still live.

SKILL0 (arXiv 2604.02268), equations 1-3: at every step the prompt is built afresh, the reply holds an action
and the compression factor of the next image. Each step becomes one `Turn`, one training sample. What a reply
may look like and how episodes end is said in docs/agent_loop.md. Left out: rewards beyond the invalid-action
penalty (equation 4 belongs to training), and asynchronous episodes.
Tests: tests/agent/test_loop.py.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from skill0.agent.policy import EpisodeState, PastTurn, Policy, PolicyInput, PolicyOutput, Sampling
from skill0.agent.prompting import blank_input, build_input
from skill0.agent.reply import ParsedReply, action_mask, parse_reply
from skill0.agent.search_turns import parse_search_reply
from skill0.agent.settings import AgentSettings
from skill0.agent.trajectory import FAILURE, INFRASTRUCTURE, SUCCESS, RolloutGroup, Trajectory, Turn
from skill0.context import ContextRenderer
from skill0.envs.base import EnvFailure, Observation, StepResult, Task
from skill0.errors import ConfigError, PolicyError

TIMINGS = ("environment", "rendering", "generation")


class Pool(Protocol):
    """What the loop needs of `skill0.envs.EnvPool`: episodes numbered by the position of their task."""

    def reset(self, tasks: Sequence[Task]) -> Sequence[Observation | EnvFailure]: ...

    def step(self, actions: Mapping[int, str]) -> Mapping[int, StepResult | EnvFailure]: ...


class AgentLoop:
    """Runs rollout groups with one policy, one pool of environments and one kind of prompt."""

    def __init__(
        self,
        policy: Policy,
        pool: Pool,
        settings: AgentSettings | None = None,
        renderer: ContextRenderer | None = None,
    ) -> None:
        self.policy = policy
        self.pool = pool
        self.settings = settings or AgentSettings()
        self.renderer = renderer or ContextRenderer()

    def run(
        self,
        groups: Sequence[RolloutGroup],
        sampling: Sampling,
        seed: int,
        live_across_ranks: Callable[[int], int] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Trajectory]:
        """Plays every member of every group to its end; trajectories in group order, members in order.

        Args:
            groups: what to play.
            sampling: how replies are drawn.
            seed: with the task, the member's number and the turn, fixes every reply (see `reply_seed`).
            live_across_ranks: for several processes that must make the same generate calls: takes how many
                episodes are live here, returns the largest number on any process. Generate calls are then
                padded to that number with inputs whose replies are thrown away.
            progress: called with the number of episodes that ended, after each turn that ended some.

        Raises:
            ConfigError: two groups would play the same member of the same task under the same skills: equal
                seeds make them equal episodes.
            PolicyError: the policy returned another number of replies than it was given inputs.
        """
        episodes = [
            _Episode(group, group.first_member + number) for group in groups for number in range(group.size)
        ]
        _check_distinct(episodes)
        self._reset(episodes)
        filler = blank_input(self.settings, self.renderer)
        ended = _tell(progress, episodes, 0)
        while True:
            live = [number for number, episode in enumerate(episodes) if episode.outcome is None]
            size = len(live) if live_across_ranks is None else live_across_ranks(len(live))
            if size == 0:
                return [episode.trajectory() for episode in episodes]
            playing = [episodes[number] for number in live]
            with _timed(playing, "rendering"):
                inputs = [self._input(episode, seed) for episode in playing]
            # Rather a prompt of real size than a blank one, so that no process waits for another.
            filler = inputs[-1] if inputs else filler
            with _timed(playing, "generation"):
                outputs = self._generate(inputs, size, filler, sampling)
            for episode, item, output in zip(playing, inputs, outputs, strict=True):
                self._take_reply(episode, item, output)
            with _timed(playing, "environment"):
                results = self.pool.step({number: episodes[number].turns[-1].action for number in live})
            for number in live:
                self._take_result(episodes[number], results[number])
            ended = _tell(progress, episodes, ended)

    def _reset(self, episodes: list[_Episode]) -> None:
        with _timed(episodes, "environment"):
            observations = self.pool.reset([episode.group.task for episode in episodes]) if episodes else []
        for episode, observation in zip(episodes, observations, strict=True):
            if isinstance(observation, EnvFailure):
                episode.fail(observation)
            else:
                episode.observation = observation

    def _input(self, episode: _Episode, seed: int) -> PolicyInput:
        task, step = episode.group.task, len(episode.turns)
        return build_input(
            self.settings,
            self.renderer,
            episode.state(),
            episode.compression,
            reply_seed(seed, task.id, episode.member, step),
        )

    def _generate(
        self, inputs: list[PolicyInput], size: int, filler: PolicyInput, sampling: Sampling
    ) -> list[PolicyOutput]:
        padded = inputs + [filler] * (size - len(inputs))
        outputs = self.policy.generate(padded, sampling)
        if len(outputs) != len(padded):
            raise PolicyError(
                f"{type(self.policy).__name__}.generate returned {len(outputs)} replies for {len(padded)} "
                "inputs; a policy answers each input with one output, in order"
            )
        return outputs[: len(inputs)]

    def _take_reply(self, episode: _Episode, item: PolicyInput, output: PolicyOutput) -> None:
        """The turn that a reply makes; the factor it asks for is kept for the next page."""
        reply = self._parse(output.text, episode.seen.admissible)
        visual_tokens = 0 if item.page is None else item.page.visual_tokens
        episode.compression = reply.compression or 1.0
        episode.turns.append(
            Turn(
                prompt_ids=output.prompt_ids,
                completion_ids=output.completion_ids,
                logprobs=output.logprobs,
                page=item.page,
                action_mask=action_mask(output.token_spans, reply.action_span),
                observation=episode.seen.text,
                reply=output.text,
                action=reply.action,
                compression=reply.compression,
                valid=reply.valid,
                reward=0.0 if reply.valid else -self.settings.invalid_action_penalty,
                text_tokens=max(0, len(output.prompt_ids) - visual_tokens),
                visual_tokens=visual_tokens,
                state=item.state,
            )
        )

    def _parse(self, text: str, admissible: Sequence[str] | None) -> ParsedReply:
        template, think = self.settings.prompt_template, self.settings.require_think
        if template.reply_form == "search":
            return parse_search_reply(text, asks_compression=template.asks_compression, require_think=think)
        return parse_reply(
            text, admissible=admissible, asks_compression=template.asks_compression, require_think=think
        )

    def _take_result(self, episode: _Episode, result: StepResult | EnvFailure) -> None:
        """What the environment's answer means for the episode: it goes on, or it ends with an outcome."""
        if isinstance(result, EnvFailure):
            return episode.fail(result)
        if not isinstance(result.info.get("won"), bool):
            return episode.fail(
                EnvFailure(
                    "invalid", f"info['won'] must be a bool, the environment gave {dict(result.info)!r}"
                )
            )
        episode.env_reward += result.reward
        episode.info = result.info
        episode.history.append(PastTurn(episode.seen.text, episode.turns[-1].action))
        episode.observation = result.observation
        if result.terminated or result.truncated or len(episode.turns) == self.settings.max_steps:
            episode.outcome = SUCCESS if result.info["won"] else FAILURE
        return None


def reply_seed(seed: int, task_id: str, member: int, turn: int) -> int:
    """The seed of one reply, in [0, 2^63): sha256 of what identifies the reply within a run of the loop.

    The arm is left out on purpose: the same member draws the same random numbers with and without skills, so
    that paired arms differ by their context alone, and a policy that ignores its context shows no difference.
    """
    text = f"{seed}\0{task_id}\0{member}\0{turn}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass
class _Episode:
    """An episode while it is played; `outcome` is None until it ends."""

    group: RolloutGroup
    member: int
    observation: Observation | None = None
    compression: float = 1.0
    turns: list[Turn] = field(default_factory=list)
    history: list[PastTurn] = field(default_factory=list)
    env_reward: float = 0.0
    outcome: str | None = None
    failure: EnvFailure | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMINGS, 0.0))

    @property
    def seen(self) -> Observation:
        assert self.observation is not None, "only episodes that were reset are asked for turns"
        return self.observation

    def state(self) -> EpisodeState:
        return EpisodeState(
            self.group.task, self.seen, len(self.turns), tuple(self.history), tuple(self.group.skills)
        )

    def fail(self, failure: EnvFailure) -> None:
        self.outcome, self.failure = INFRASTRUCTURE, failure

    def trajectory(self) -> Trajectory:
        assert self.outcome is not None
        return Trajectory(
            task=self.group.task,
            arm=self.group.arm,
            member=self.member,
            turns=tuple(self.turns),
            outcome=self.outcome,
            env_reward=self.env_reward,
            failure=self.failure,
            info=self.info,
            timings=self.timings,
        )


def _check_distinct(episodes: Sequence[_Episode]) -> None:
    seen = set()
    for episode in episodes:
        group = episode.group
        key = (group.task.id, tuple(group.skills), episode.member)
        if key in seen:
            raise ConfigError(
                f"member {episode.member} of task {group.task.id!r} under the skills {group.arm} would be "
                "played twice in one run, with the same random numbers; give the second group another "
                "first_member"
            )
        seen.add(key)


@contextmanager
def _timed(episodes: Sequence[_Episode], what: str) -> Iterator[None]:
    """Shares the seconds of the block among the episodes, so that they sum to the time spent."""
    start = time.perf_counter()
    yield
    if episodes:
        share = (time.perf_counter() - start) / len(episodes)
        for episode in episodes:
            episode.timings[what] += share


def _tell(progress: Callable[[int], None] | None, episodes: Sequence[_Episode], before: int) -> int:
    """Reports how many episodes ended since there were `before`; returns how many have now."""
    ended = sum(episode.outcome is not None for episode in episodes)
    if progress is not None and ended > before:
        progress(ended - before)
    return ended
