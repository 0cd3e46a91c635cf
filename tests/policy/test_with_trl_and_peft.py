"""Sampling agrees with what the trainer computes: TRL's fused log-probabilities; and models under PEFT."""

from __future__ import annotations

import copy

import pytest
import torch
from kitchen import prompts

from skill0.agent import Sampling
from skill0.policy import PromptEncoder, generate_replies
from skill0.training.turn_batching import collate_turns

pytestmark = pytest.mark.integration


class Sampled:
    """What `collate_turns` reads of a turn."""

    def __init__(self, item, reply):
        self.page, self.prompt_ids, self.completion_ids = item.page, reply.prompt_ids, reply.completion_ids


def training_batch(encoder, inputs, replies):
    """A micro-batch as the trainer makes it, and the labels TRL scores: completions only."""
    turns = [Sampled(item, reply) for item, reply in zip(inputs, replies, strict=True)]
    parts = collate_turns(turns, pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id)  # type: ignore[arg-type]
    ids = torch.cat([parts["prompt_ids"], parts["completion_ids"]], dim=1)  # (turns, tokens)
    mask = torch.cat([parts["prompt_mask"], parts["completion_mask"]], dim=1)  # (turns, tokens)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, : parts["prompt_ids"].shape[1]] = -100
    images = {key: parts[key] for key in ("mm_token_type_ids", "pixel_values", "image_grid_thw")}
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, **images}


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_recorded_logprobs_are_those_trl_trains_with(tiny, temperature):
    """The importance ratio of fresh samples is one, with top-k and top-p on, and with a temperature."""
    from trl.trainer.utils import add_fused_lm_head

    model, encoder = copy.deepcopy(tiny[0]), PromptEncoder(tiny[1])
    add_fused_lm_head(model, temperature=temperature)
    sampling = Sampling(temperature=temperature, top_p=0.9, top_k=40, max_new_tokens=8)
    replies = generate_replies(model, encoder, prompts(), sampling)
    batch = training_batch(encoder, prompts(), replies)
    with torch.no_grad():
        log_probs = model(**batch, fused_lm_head=True).log_probs  # (turns, tokens - 1)
    completion = batch["labels"][:, 1:] != -100
    for row, mask, reply in zip(log_probs, completion, replies, strict=True):
        assert reply.logprobs == pytest.approx(row[mask].tolist(), abs=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
def test_a_model_wrapped_by_peft_replies(tiny):
    """A fresh LoRA adapter adds nothing, so the replies are those of the bare model."""
    peft = pytest.importorskip("peft")
    model, encoder = copy.deepcopy(tiny[0]), PromptEncoder(tiny[1])
    sampling = Sampling(max_new_tokens=6)
    before = generate_replies(model, encoder, prompts(), sampling)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2))
    for bare, adapted in zip(before, generate_replies(wrapped, encoder, prompts(), sampling), strict=True):
        assert adapted.completion_ids == bare.completion_ids
        assert adapted.logprobs == pytest.approx(bare.logprobs, abs=1e-4)
