"""The gain of computing once what prompts have in common, in a generate call and in a micro-batch.

Three ways: nothing is shared; equal pages go through the vision tower once; and, as by default, prompts that
begin alike up to their page, equal replies so far and equal turns are computed once too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

from efficiency.rounds import with_pages
from efficiency.seconds import Seconds, take_turns
from skill0.context import Page
from skill0.policy import transformers_policy
from skill0.policy.vision import share_equal_images
from skill0.training import trl_internals

NOTHING, PAGES, EVERYTHING = "nothing shared", "pages shared", "pages, stems and equal turns shared"


class SinglePage(Page):
    """A page that is equal to no other, so that nothing is shared on its account."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def own(page: Page) -> Page:
    return SinglePage(page.ids, page.style, page.report)


@contextmanager
def plain_tower(model: Any) -> Iterator[None]:
    """The vision tower of transformers, which encodes every image it is given."""
    for module in model.modules():
        if isinstance(module, Qwen2_5_VisionTransformerPretrainedModel):
            module.__class__ = Qwen2_5_VisionTransformerPretrainedModel
    try:
        yield
    finally:
        share_equal_images(model)


def measure_sharing(
    trainer: Any, generated: list[Any], passes: list[Any], repetitions: int
) -> dict[str, dict[str, list[Seconds]]]:
    """Seconds of the largest recorded generate call, and of the learning passes of one round, each way."""
    inputs, sampling, prompt_ids = max(generated, key=lambda call: len(call[0]))
    model, encoder = trl_internals.bare_model(trainer), trainer.encoder
    learnt = [batch["turns"] for _, batch, with_gradient in passes if with_gradient][:2]

    def generate(items: Any) -> None:
        transformers_policy.generate_replies(model, encoder, items, sampling, prompt_ids)

    def learn(micro_batches: Any) -> None:
        for batch in micro_batches:
            logprobs, _ = trl_internals.token_logprobs(trainer, model, batch, entropies=True)
            (logprobs * batch["completion_mask"]).sum().backward()
        model.zero_grad()

    shared = [collate(trainer, turns) for turns in learnt]
    single = [collate(trainer, with_pages(turns, own)) for turns in learnt]
    return {
        "generation": _each_way(
            model, partial(generate, inputs), partial(generate, with_pages(inputs, own)), repetitions
        ),
        "learning": _each_way(model, partial(learn, shared), partial(learn, single), repetitions),
    }


def collate(trainer: Any, turns: Any) -> dict[str, Any]:
    from skill0.training.turn_buffer import TrainingTurn

    return trainer.collate([TrainingTurn(turn, advantage=1.0, weight=1.0) for turn in turns])


def _each_way(
    model: Any, shared: Callable[[], None], single: Callable[[], None], repetitions: int
) -> dict[str, list[Seconds]]:
    def nothing() -> None:
        with plain_tower(model):
            single()

    return take_turns({NOTHING: nothing, PAGES: single, EVERYTHING: shared}, repetitions)
