"""The seam to whatever writes replies: a language model, TRL's generator, or a script in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from skill0.context import Page


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn. `temperature=0` is greedy; `top_k=0` and `top_p=1` switch those filters off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 512


@dataclass(frozen=True)
class PolicyInput:
    """One prompt: system and user text, and the page shown as an image before the user text.

    `seed` fixes this reply's random numbers, whatever batch it is drawn in.
    """

    system: str
    text: str
    page: Page | None
    seed: int = 0


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
    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]: ...
