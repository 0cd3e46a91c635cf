"""The seam to whatever writes replies: a language model, TRL's generator, or a script in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from skill0.envs.base import Observation, Task

if TYPE_CHECKING:
    from skill0.context import Page
    from skill0.skills.skill import SkillFile


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn. `temperature=0` is greedy; `top_k=0` and `top_p=1` switch those filters off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 512


@dataclass(frozen=True)
class PastTurn:
    """One step of an episode as history tells it: what was observed, then the action sent to the env."""

    observation: str
    action: str


@dataclass(frozen=True)
class EpisodeState:
    """Everything the agent loop knows when it asks for a reply.

    For scripted policies; models ignore it (they see only `PolicyInput.system`, `text` and `page`).
    `step` is the number of actions taken so far (0 at the first turn); `history` holds all of them, oldest
    first, whatever part of it the prompt shows; `skills` are the skill files in context (empty in the plain
    arm), in the order they are shown.
    """

    task: Task
    observation: Observation
    step: int = 0
    history: tuple[PastTurn, ...] = ()
    skills: tuple[SkillFile, ...] = ()


@dataclass(frozen=True)
class PolicyInput:
    """One prompt: system and user text, and the page shown as an image before the user text.

    `seed` fixes this reply's random numbers, whatever batch it is drawn in. `state` is None only for the
    dummy inputs that pad a generate call so that all processes make equally many.
    """

    system: str
    text: str
    page: Page | None
    seed: int = 0
    state: EpisodeState | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PolicyOutput:
    """One reply, with the ids it was conditioned on and the ids and log-probabilities as sampled."""

    text: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    token_spans: tuple[tuple[int, int], ...] = ()
    """Character span of `text` that each completion token covers."""


class Policy(Protocol):
    """Answers each input with one output, in order.

    A reply may depend on its own input and on `sampling`, never on the batch it stands in: that is what
    makes rollouts independent of batch size and of the number of processes.
    """

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]: ...
