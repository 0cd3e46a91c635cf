"""Policies without a model: a function of the prompt, and a random choice among the admissible commands.

They make token ids of bytes, so that everything that looks at ids, spans and token counts works with them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from skill0.agent.policy import PolicyInput, PolicyOutput, Sampling

PLACEHOLDER_ID = 256
"""Stands in `prompt_ids` once for every visual token of the page; ids below it are bytes of UTF-8."""


class ScriptedPolicy:
    """Replies with what `function` returns for each input; token ids are the bytes of the text.

    The function may look at `PolicyInput.state`, which is None for the blank inputs that pad a generate call.
    """

    def __init__(self, function: Callable[[PolicyInput], str]) -> None:
        self.function = function

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [byte_output(item, self.function(item)) for item in inputs]


class RandomPolicy:
    """Picks an admissible command uniformly, by the input's seed: the baseline that a policy must beat.

    Where the environment lists no commands it replies with an empty action. `asks_compression` says whether
    the prompts ask for a factor; it then always chooses 1.
    """

    def __init__(self, asks_compression: bool = False) -> None:
        self.tail = "<compression>1</compression>" if asks_compression else ""

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [byte_output(item, _random_reply(item) + self.tail) for item in inputs]


def byte_output(item: PolicyInput, reply: str) -> PolicyOutput:
    """A reply as a policy with one token per byte would give it; log-probabilities are 0 (it is certain)."""
    placeholders = 0 if item.page is None else item.page.visual_tokens
    prompt = (item.system + item.text).encode("utf-8", "surrogatepass")
    spans = tuple(
        (place, place + 1)
        for place, character in enumerate(reply)
        for _ in character.encode("utf-8", "surrogatepass")
    )
    return PolicyOutput(
        text=reply,
        prompt_ids=(PLACEHOLDER_ID,) * placeholders + tuple(prompt),
        completion_ids=tuple(reply.encode("utf-8", "surrogatepass")),
        logprobs=(0.0,) * len(spans),
        token_spans=spans,
    )


def _random_reply(item: PolicyInput) -> str:
    commands = () if item.state is None else item.state.observation.admissible or ()
    action = random.Random(item.seed).choice(commands) if commands else ""
    return f"<think>any of {len(commands)}</think><action>{action}</action>"
