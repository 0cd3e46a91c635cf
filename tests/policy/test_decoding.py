"""The decode loop writes what `model.generate` writes, and computes every state once."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from kitchen import LEXICON, page_of, prompts
from torch import distributed

from skill0.agent import PolicyInput, Sampling
from skill0.policy import PromptEncoder, TinyPolicySettings, build_tiny_policy, generate_replies
from skill0.policy import decoding as decoding_module
from skill0.policy.decoding import must_generate
from skill0.policy.sampling import generate

GREEDY = Sampling(temperature=0, max_new_tokens=12)
DRAWN = Sampling(temperature=1.0, max_new_tokens=12)
FILTERED = Sampling(temperature=0.7, top_p=0.9, top_k=20, max_new_tokens=12)


@pytest.fixture
def ends_now_and_then(tiny):
    """A copy of the model whose replies end at different lengths."""
    model = copy.deepcopy(tiny[0])
    end = tiny[1].tokenizer.eos_token_id
    model.lm_head.register_forward_hook(
        lambda module, inputs, logits: logits.index_add(
            -1, torch.tensor([end]), torch.full_like(logits[..., :1], 4.0)
        )
    )
    return model, tiny[1]


def by_generate(monkeypatch, *arguments):
    """The same call with every batch left to `model.generate`: the slow reference."""
    with monkeypatch.context() as patch:
        patch.setattr("skill0.policy.sampling.must_generate", lambda *_: True)
        return generate_replies(*arguments)


def group() -> list[PolicyInput]:
    """Eight members that see one prompt, each with its own random numbers, beside the kitchen's prompts."""
    return [replace(prompts()[0], seed=number) for number in range(8)] + prompts()


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        assert one.completion_ids == other.completion_ids
        assert one.text == other.text
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, FILTERED], ids=["greedy", "drawn", "filtered"])
def test_replies_are_those_of_generate(ends_now_and_then, monkeypatch, sampling):
    model, processor = ends_now_and_then
    encoder = PromptEncoder(processor)
    mine = generate_replies(model, encoder, group(), sampling)
    assert_same(mine, by_generate(monkeypatch, model, encoder, group(), sampling))
    if sampling is not GREEDY:
        assert len({len(reply.completion_ids) for reply in mine}) > 2


def test_so_they_are_with_shared_key_value_heads_and_eager_attention(monkeypatch):
    settings = TinyPolicySettings(num_key_value_heads=2)
    model, processor = build_tiny_policy(settings, LEXICON, seed=1)
    encoder = PromptEncoder(processor)
    for kernel in ("sdpa", "eager"):
        model.set_attn_implementation(kernel)
        mine = generate_replies(model, encoder, group(), DRAWN)
        assert_same(mine, by_generate(monkeypatch, model, encoder, group(), DRAWN))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
def test_and_with_an_adapter(tiny, monkeypatch):
    peft = pytest.importorskip("peft")
    encoder = PromptEncoder(tiny[1])
    settings = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2, init_lora_weights=False)
    model = peft.get_peft_model(copy.deepcopy(tiny[0]), settings)
    mine = generate_replies(model, encoder, group(), DRAWN)
    assert_same(mine, by_generate(monkeypatch, model, encoder, group(), DRAWN))


def rows_computed(model, encoder, inputs, sampling) -> list[tuple[int, int]]:
    """Rows and columns of every pass through the model."""
    seen = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        generate_replies(model, encoder, inputs, sampling)
    finally:
        hook.remove()
    return seen


def test_equal_prompts_are_one_state_until_their_replies_part(tiny):
    """Greedy replies to one prompt never part: one stem, one prompt, then one row a token."""
    model, processor = tiny
    encoder = PromptEncoder(processor)
    inputs = group()[:8]
    prompt = encoder.encode(inputs[0])
    assert inputs[0].page is not None
    stem = prompt.index(encoder.image_token_id) + inputs[0].page.visual_tokens
    steps = rows_computed(model, encoder, inputs, replace(GREEDY, max_new_tokens=4))
    assert steps == [(1, stem), (1, len(prompt) - stem), (1, 1), (1, 1), (1, 1)]
    drawn = rows_computed(model, encoder, inputs, replace(DRAWN, max_new_tokens=4))
    assert drawn[:2] == steps[:2]
    assert 1 < drawn[2][0] <= 8


def test_pages_are_stems_and_differ_even_if_equally_long(tiny):
    encoder = PromptEncoder(tiny[1])
    pages = [page_of(text) for text in ("mug: cabinet", "mug: drawer", "mug: cabinet")]
    inputs = [PolicyInput("Act.", f"go to cabinet {n}", page, seed=n) for n, page in enumerate(pages)]
    (stems, _), (rests, _), *_ = rows_computed(tiny[0], encoder, inputs, GREEDY)
    assert (stems, rests) == (2, 3)


def test_a_state_is_dropped_when_its_replies_have_ended(ends_now_and_then):
    model, processor = ends_now_and_then
    rows = [rows for rows, _ in rows_computed(model, PromptEncoder(processor), prompts(), DRAWN)]
    assert rows[2:] == sorted(rows[2:], reverse=True)
    assert rows[-1] < rows[2]


def test_what_is_left_to_generate(tiny, monkeypatch):
    model, image = copy.deepcopy(tiny[0]), 5
    prompt = [(1, 5, 5, 2)]
    assert not must_generate(model, prompt, image)
    assert must_generate(model, [(1, 5, 5)], image)  # nothing behind the stem
    assert must_generate(model, [(1,)], image)
    assert not must_generate(model, [(1, 2)], image)
    text = model.config.get_text_config()
    text.layer_types = ["sliding_attention", *text.layer_types[1:]]
    assert must_generate(model, prompt, image)
    text.layer_types = ["full_attention"] * len(text.layer_types)
    monkeypatch.setattr(decoding_module, "is_deepspeed_zero3_enabled", lambda: True)
    assert not must_generate(model, prompt, image)  # one process has nobody to wait for
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    assert must_generate(model, prompt, image)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
def test_virtual_tokens_are_left_to_generate(tiny):
    peft = pytest.importorskip("peft")
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    model = peft.get_peft_model(copy.deepcopy(tiny[0]), settings)
    assert must_generate(model, [(1, 5, 5, 2)], 5)


def test_generate_is_called_where_it_must(tiny, monkeypatch):
    called = []
    monkeypatch.setattr("skill0.policy.sampling.must_generate", lambda *_: True)
    monkeypatch.setattr(
        "skill0.policy.sampling.generate", lambda *arguments: called.append(1) or generate(*arguments)
    )
    generate_replies(tiny[0], PromptEncoder(tiny[1]), prompts(), GREEDY)
    assert called == [1]
