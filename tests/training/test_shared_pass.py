"""What turns have in common is computed once, and changes neither log-probabilities nor gradients."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from skill0.agent import PolicyInput
from skill0.context import ContextRenderer, Page, PageStyle, Segment
from skill0.policy import PromptEncoder, TinyPolicySettings, build_tiny_policy
from skill0.policy.stems import stem_length
from skill0.training import trl_internals
from skill0.training.shared_pass import can_share, shared_logprobs
from skill0.training.turn_batching import collate_turns

TEMPERATURE = 0.7


@dataclass(frozen=True)
class BareTurn:
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    page: Page | None = field(default=None)


@pytest.fixture(scope="module", params=[4, 2], ids=["own heads", "shared heads"])
def policy(request):
    settings = TinyPolicySettings(num_key_value_heads=request.param)
    model, processor = build_tiny_policy(settings, ["go to ", "fridge 1", "cabinet 1"], seed=0)
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy"))
    return model, PromptEncoder(processor)


def page(text: str) -> Page:
    return ContextRenderer().page([Segment("note", text)], PageStyle("7x14", width=56))


def turns_of(encoder: PromptEncoder) -> list[Any]:
    """Two pages and none, prompts and replies of several lengths; the first turn stands there twice."""
    pages = [page("mug"), page("mug"), page("pan\n" * 8), None, page("mug")]
    turns = []
    for number, shown in enumerate(pages):
        prompt = encoder.encode(PolicyInput("", "go to fridge 1 " * (1 + number % 3), shown, seed=0))
        turns.append(BareTurn(prompt, tuple(range(260, 262 + number)), shown))
    return [*turns, copy.copy(turns[0])]


def by_trl(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """TRL's labels and forward pass, over whole rows."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    width = batch["completion_ids"].shape[1]
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-width] = -100
    images = {key: batch[key] for key in ("mm_token_type_ids", "pixel_values", "image_grid_thw")}
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, **images)
    return output.log_probs[:, -width:], output.entropy[:, -width:]


def test_values_and_gradients_are_those_of_trls_pass(policy) -> None:
    model, encoder = policy
    turns = turns_of(encoder)
    batch = collate_turns(turns, pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id)
    assert can_share(model, turns, encoder.image_token_id)
    # A weight of its own for every token, so that no error can cancel another.
    weights = torch.randn(batch["completion_ids"].shape, generator=torch.Generator().manual_seed(0))
    found = []
    for logprobs, entropies in (
        by_trl(model, batch),
        shared_logprobs(
            model, turns, temperature=TEMPERATURE,
            pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id,
        ),
    ):  # fmt: skip
        model.zero_grad()
        ((logprobs + 0.1 * entropies) * weights).sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        found.append((logprobs.detach(), entropies.detach(), gradients))
    torch.testing.assert_close(found[1][:2], found[0][:2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1][2], found[0][2], atol=2e-4, rtol=1e-3)
    assert all(gradient.abs().sum() > 0 for name, gradient in found[0][2].items() if "bias" not in name)


def passes_over(policy, turns: list[Any]) -> list[torch.Size]:
    """(rows, columns) of the backbone's passes: over stems, then over what follows them."""
    model, encoder = policy
    seen: list[torch.Size] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    try:
        shared_logprobs(
            model, turns, temperature=1.0,
            pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id,
        )  # fmt: skip
    finally:
        hook.remove()
    return seen


def test_equal_turns_are_one_row_and_equal_pages_one_stem(policy) -> None:
    seen = [rows for rows, _ in passes_over(policy, turns_of(policy[1]))]
    assert seen == [3, 5]  # stems: "mug", "pan", none; six turns, of which two are equal


def test_completions_stand_right_behind_their_prompts(policy) -> None:
    """A short prompt with a long reply and the other way round: neither is padded to both lengths."""
    encoder, shown = policy[1], page("mug")
    short, long = (encoder.encode(PolicyInput("", "fridge 1 " * n, shown, seed=0)) for n in (1, 4))
    turns: list[Any] = [
        BareTurn(short, tuple(range(260, 260 + len(long) - len(short))), shown),
        BareTurn(long, (260,), shown),
    ]
    columns = [columns for _, columns in passes_over(policy, turns)]
    stem = stem_length(long, encoder.image_token_id)
    assert columns == [stem, len(long) - stem + 1]


def test_the_trainer_asks_for_it_and_else_for_trls_pass(policy, monkeypatch) -> None:
    model, encoder = policy
    batch = collate_turns(
        turns_of(encoder), pad_token_id=encoder.pad_token_id, image_token_id=encoder.image_token_id
    )
    trainer = SimpleNamespace(
        model=model,
        temperature=TEMPERATURE,
        _tokenizer=encoder.tokenizer,
        encoder=encoder,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model, mixed_precision="no"),
        _get_per_token_logps_and_entropies=lambda *_, **__: (*by_trl(model, batch), None),
    )
    shared = trl_internals.token_logprobs(trainer, model, batch, entropies=True)
    monkeypatch.setattr(trl_internals, "can_share", lambda *_: False)
    trls = trl_internals.token_logprobs(trainer, model, batch, entropies=True)
    assert shared[0] is not trls[0]
    torch.testing.assert_close(shared, trls, atol=1e-4, rtol=1e-4)


def test_what_is_left_to_trls_pass(policy) -> None:
    bare, encoder = policy
    image = encoder.image_token_id
    turns = turns_of(encoder)
    nothing_behind: Any = BareTurn((1, image), (2,))
    assert not can_share(bare, [*turns, nothing_behind], image)
    assert not can_share(torch.nn.Sequential(bare), turns, image)
    model = copy.deepcopy(bare)
    model.activation_checkpointing_enable()
    assert not can_share(model, turns, image)
    model.activation_checkpointing_disable()
    assert can_share(model, turns, image)
    model.config.text_config.attention_dropout = 0.1
    assert not can_share(model, turns, image)
    assert not can_share(copy.deepcopy(bare).to(torch.bfloat16), turns, image)
