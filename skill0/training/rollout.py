"""Rollouts inside the trainer: which episodes a process plays, and the policies that write their replies.

A dataset row is one trajectory: TRL's sampler repeats every task `num_generations` times and deals rows to
processes in order, so a group may begin on one process and end on the next. Members keep their number in
the group wherever they run, and every reply's random numbers follow from (seed, round, task, member, turn):
rollouts do not depend on the number of processes, except where the model computes other numbers for other
batches. A paired group (see pairing.py) is played in two arms, with and without skills.

Left out: TRL's own `_generate`, which cannot show a fresh image at every turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from skill0.agent import AgentLoop, PolicyOutput, RolloutGroup, Trajectory
from skill0.errors import ConfigError, PolicyError
from skill0.policy import TransformersPolicy
from skill0.training import processes, trl_internals

if TYPE_CHECKING:
    from skill0.agent import PolicyInput, Sampling
    from skill0.envs import Task
    from skill0.policy.encoding import PromptEncoder
    from skill0.skills import SkillFile

T = TypeVar("T")


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) from what it is for: sha256 of the parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def local_groups(
    tasks: Sequence[Task],
    *,
    first_row: int,
    group_size: int,
    skills: Callable[[Task], tuple[SkillFile, ...]],
    paired: Collection[int] = (),
    only: Collection[int] | None = None,
) -> tuple[list[RolloutGroup], list[int]]:
    """The groups that this process plays part of, and the group number of each of its rows.

    `tasks` holds the task of each local row; `first_row` is the position of the first among the rows of all
    processes, so that row r belongs to group r // group_size, at its place r % group_size.

    A group whose number is in `paired` has two arms: its first half of places plays with skills, its second
    half without, and both halves number their members from 0, so that member i of one arm draws the random
    numbers of member i of the other. Where no skill is active for the task there is nothing to pair: the
    group is an ordinary one. Elsewhere the member's number is its place.

    With `only`, rows of groups with other numbers are left out.
    """
    rows = [
        row for row in range(first_row, first_row + len(tasks)) if only is None or row // group_size in only
    ]
    groups: list[RolloutGroup] = []
    for number in dict.fromkeys(row // group_size for row in rows):
        places = [row % group_size for row in rows if row // group_size == number]
        task = tasks[number * group_size + places[0] - first_row]
        shown, half = skills(task), group_size // 2
        arms = [(shown, range(group_size))]
        if number in paired and shown:
            arms = [(shown, range(half)), ((), range(half, group_size))]
        for files, arm_places in arms:
            here = [place - arm_places.start for place in places if place in arm_places]
            if here:
                groups.append(RolloutGroup(task, len(here), files, here[0]))
    return groups, [row // group_size for row in rows]


class TrainerPolicy:
    """The model being trained, generating with transformers, in batches of at most `batch_size` prompts."""

    def __init__(self, trainer: Any, batch_size: int) -> None:
        self.trainer = trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        self.policy = TransformersPolicy(model, trainer.processing_class, batch_size)
        self._is_whole = False

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        return self.while_whole(lambda: self.policy.generate(inputs, sampling))

    def while_whole(self, function: Callable[[], T]) -> T:
        """Calls `function` while this process holds all weights, in the precision of training. Weights that
        are split over processes are gathered for it, by all processes together; not again inside of it."""
        if self._is_whole:
            processes.gather_again(self.policy.model)
            return function()
        with trl_internals.generation_model(self.trainer) as model:
            self.policy.model = model
            self._is_whole = True
            try:
                return processes.run_gathered(self.trainer.accelerator, model, function)
            finally:
                self._is_whole = False


class RolloutLoop(AgentLoop):
    """An agent loop that gathers split weights once for all turns of a run: at every turn, which is what a
    `TrainerPolicy` does by itself, the whole model would go round the processes up to `max_steps` times."""

    def run(self, *args: Any, **kwargs: Any) -> list[Trajectory]:
        run = super().run
        if not isinstance(self.policy, TrainerPolicy):
            return run(*args, **kwargs)
        return self.policy.while_whole(lambda: run(*args, **kwargs))


class VllmPolicy:
    """The model being trained, generating with vLLM through TRL (colocated or a server).

    vLLM draws from random numbers of its own: runs with it are not reproducible, and the seeds of the
    inputs are ignored. Its log-probabilities differ from the trainer's; the loss corrects for that.
    """

    def __init__(self, trainer: Any, encoder: PromptEncoder) -> None:
        self.trainer = trainer
        self.encoder = encoder

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        prompts = [list(self.encoder.encode(item)) for item in inputs]
        pictures = [None if item.page is None else [item.page.image()] for item in inputs]
        images = None if all(picture is None for picture in pictures) else pictures
        replies, logprobs = trl_internals.vllm_generate(self.trainer, prompts, images, sampling)
        self._refuse_vision_tokens(replies)
        return [
            PolicyOutput(
                text=self.encoder.decode(reply),
                prompt_ids=tuple(prompt),
                completion_ids=tuple(reply),
                logprobs=tuple(scores),
                token_spans=self.encoder.token_spans(reply),
            )
            for prompt, reply, scores in zip(prompts, replies, logprobs, strict=True)
        ]

    def _refuse_vision_tokens(self, replies: Sequence[Sequence[int]]) -> None:
        """The bias of `without_vision_tokens` leaves them next to no probability; a reply that holds one says
        that the bias did not reach vLLM."""
        for token in self.encoder.vision_token_ids:
            if any(token in reply for reply in replies):
                raise PolicyError(
                    f"vLLM sampled the vision token {token}, which stands for an image that is not there: it "
                    "did not heed the logit_bias it was sent; do not override logit_bias in generation_kwargs"
                )


def without_vision_tokens(
    generation_kwargs: dict[str, Any] | str | None, vision_token_ids: Sequence[int]
) -> dict[str, Any]:
    """vLLM's sampling arguments with vision tokens made impossible: a sampled one would ask for an image
    that is not there."""
    if isinstance(generation_kwargs, str):
        raise ConfigError(f"generation_kwargs={generation_kwargs!r} must be a dict")
    kwargs = dict(generation_kwargs or {})
    bias = {int(token): float(value) for token, value in (kwargs.get("logit_bias") or {}).items()}
    return {**kwargs, "logit_bias": {**bias, **dict.fromkeys(vision_token_ids, -100.0)}}
