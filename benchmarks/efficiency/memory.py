"""Memory of the turn buffer: what a round's turns take until they are trained on, against their number.

Turns are made by the agent loop with a policy that writes one fixed reply, so that episodes are as long as
they are asked to be and no model computes anything.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from typing import Any

from skill0.agent import AgentLoop, PolicyInput, PolicyOutput, RolloutGroup, Sampling
from skill0.context import ContextRenderer
from skill0.envs import EnvPool
from skill0.training.turn_buffer import cut_windows, training_turns


class OneReply:
    """Answers every prompt alike: looks around."""

    def __init__(self, encoder: Any, tokens: int) -> None:
        self.encoder = encoder
        text = "<think>look</think><action>look</action>"
        ids = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
        self.reply = (ids * tokens)[:tokens]

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return [
            PolicyOutput(
                text="<think>look</think><action>look</action>",
                prompt_ids=self.encoder.encode(item),
                completion_ids=tuple(self.reply),
                logprobs=tuple(-0.1 * place for place in range(len(self.reply))),
            )
            for item in inputs
        ]


def buffer_bytes(world: Any, settings: Any, encoder: Any, *, episodes: int, tokens: int) -> tuple[int, int]:
    """Turns, and the peak of bytes that Python holds while they are played, kept and cut into windows."""
    renderer = ContextRenderer()
    files = tuple(world.bank)[:2]
    with EnvPool(world.env) as pool:
        loop = AgentLoop(OneReply(encoder, tokens), pool, settings, renderer)
        # Always the same tasks: pages of other tasks have other sizes.
        groups = [RolloutGroup(task, episodes // 4, files) for task in world.train[:4]]
        loop.run(groups[:1], Sampling(), 0)  # caches are no part of the buffer
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        trajectories = loop.run(groups, Sampling(), 0)
        ones = [(1.0,) * len(one.turns) for one in trajectories]
        turns = training_turns(trajectories, ones, ones)
        windows = cut_windows(
            turns, windows=2, longest=len(turns), micro_batch_size=8, padding=turns[0].turn, seed=0
        )
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    assert sum(len(batch) for window in windows for batch in window) >= len(turns)
    return len(turns), peak
