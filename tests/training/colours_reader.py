"""A scripted policy for the world of colours: it knows the word where a skill tells it, else it guesses.

It replies in the tokens of the tiny policy, so that a trainer can train on what it did. Its replies follow
from the prompt's seed alone, as a model's do.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from colours_world import WORDS

from skill0.agent import PolicyInput, PolicyOutput, Sampling


class Reader:
    """Says the right word with probability `told` where it is shown a skill, and `guessed` elsewhere."""

    def __init__(self, encoder: Any, told: float = 1.0, guessed: float = 0.5, tail: str = "") -> None:
        self.encoder, self.told, self.guessed, self.tail = encoder, told, guessed, tail

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [self.reply(item) for item in inputs]

    def reply(self, item: PolicyInput) -> PolicyOutput:
        right = False
        kind = "warm"
        if item.state is not None:
            kind = item.state.task.task_type
            right = random.Random(item.seed).random() < (self.told if item.state.skills else self.guessed)
        word = WORDS[kind] if right else next(other for other in WORDS.values() if other != WORDS[kind])
        text = f"<think>now</think><action>{word}</action>{self.tail}"
        ids = self.encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = (*ids, self.encoder.eos_token_id)
        return PolicyOutput(
            text=text,
            prompt_ids=self.encoder.encode(item),
            completion_ids=ids,
            logprobs=(-0.5,) * len(ids),
            token_spans=self.encoder.token_spans(ids),
        )


def use_reader(trainer: Any, **settings: float) -> None:
    """Let the episodes of a trainer be played by a `Reader` instead of its model."""
    trainer.loop.policy = Reader(trainer.encoder, **settings)
