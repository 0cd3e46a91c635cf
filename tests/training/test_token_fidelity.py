"""What is trained on is what was sampled: the same ids, the same image placeholders, the same pages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skill0.agent import PolicyInput, Sampling, Turn
from skill0.context import ContextRenderer, Page, PageStyle, Segment
from skill0.policy import PromptEncoder, TinyPolicySettings, TransformersPolicy, build_tiny_policy
from skill0.training.turn_batching import collate_turns

TEMPERATURE = 0.8
# Texts that look like control tokens must stay text, on the page as in the prompt.
TEXT = st.lists(
    st.sampled_from(["go to ", "fridge 1", "<|image_pad|>", "<|im_end|>", "<|vision_start|>", " é", "\n"]),
    max_size=6,
).map("".join)
PAGE = st.none() | st.builds(
    lambda text, width: ContextRenderer().page([Segment("note", text)], PageStyle("7x14", width=width)),
    TEXT,
    st.sampled_from([56, 84]),
)
INPUT = st.builds(PolicyInput, TEXT, TEXT, PAGE, st.integers(0, 2**62))


@pytest.fixture(scope="module")
def policy() -> Any:
    settings = TinyPolicySettings(hidden_size=32, num_layers=1, num_heads=2, num_key_value_heads=2)
    return build_tiny_policy(settings, ["go to ", "fridge 1"], seed=0)


def turn_of(item: PolicyInput, output: Any) -> Turn:
    return Turn(
        output.prompt_ids, output.completion_ids, output.logprobs, item.page, (), "", output.text, "", None,
        True, 0.0, 0, 0,
    )  # fmt: skip


@settings(max_examples=25)
@given(inputs=st.lists(INPUT, min_size=1, max_size=4), tokens=st.integers(1, 5))
def test_ids_placeholders_and_pages_trained_on_are_those_sampled(
    policy: Any, inputs: list[PolicyInput], tokens: int
) -> None:
    model, processor = policy
    encoder = PromptEncoder(processor)
    sampling = Sampling(TEMPERATURE, max_new_tokens=tokens)
    outputs = TransformersPolicy(model, processor).generate(inputs, sampling)
    turns = [turn_of(item, output) for item, output in zip(inputs, outputs, strict=True)]
    batch = collate_turns(turns, pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)  # (turns, tokens)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)  # (turns, tokens)

    # The rows, less their padding, are the prompt as encoded and the reply as sampled.
    for row, kept, item, output in zip(ids, mask.bool(), inputs, outputs, strict=True):
        assert tuple(row[kept].tolist()) == (*encoder.encode(item), *output.completion_ids)
    # A placeholder for every visual token of the turn's own page, none in a reply.
    pages: list[Page | None] = [item.page for item in inputs]
    expected = [0 if page is None else page.visual_tokens for page in pages]
    assert batch["mm_token_type_ids"].sum(dim=1).tolist() == expected
    assert not set(encoder.vision_token_ids) & {token for o in outputs for token in o.completion_ids}

    # The official model, given these tensors, finds the log-probabilities that were recorded while
    # sampling: so prompt, positions and pixels are those that the reply was drawn from.
    images = {key: batch[key] for key in ("pixel_values", "image_grid_thw") if key in batch}
    with torch.no_grad():
        logits = model(
            input_ids=ids, attention_mask=mask, mm_token_type_ids=batch["mm_token_type_ids"], **images
        ).logits  # (turns, tokens, vocabulary)
    width = batch["completion_ids"].shape[1]
    every = torch.log_softmax(logits[:, -width - 1 : -1].float() / TEMPERATURE, dim=-1)
    found = every.gather(2, batch["completion_ids"][:, :, None]).squeeze(2)  # (turns, completion tokens)
    for row, output in zip(found, outputs, strict=True):
        assert row[: len(output.completion_ids)].tolist() == pytest.approx(output.logprobs, abs=1e-4)
