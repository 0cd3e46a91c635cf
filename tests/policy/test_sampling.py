"""Replies depend on their own prompt and seed, follow the model's distribution, and are recorded as drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from kitchen import page_of, prompts
from transformers import DynamicCache

from skill0.agent import PolicyInput, Sampling
from skill0.context import batch_pixel_values
from skill0.errors import PolicyError
from skill0.policy import PromptEncoder, TransformersPolicy, generate_replies
from skill0.policy.cache import reserved_cache
from skill0.policy.sampling import SeededSampler

GREEDY = Sampling(temperature=0, max_new_tokens=12)
DRAWN = Sampling(temperature=1.0, max_new_tokens=12)
FILTERED = Sampling(temperature=0.7, top_p=0.9, top_k=20, max_new_tokens=12)
NO_BANS = torch.tensor([], dtype=torch.long)


@pytest.fixture(scope="module")
def encoder(tiny):
    return PromptEncoder(tiny[1])


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, FILTERED], ids=["greedy", "drawn", "filtered"])
def test_replies_do_not_depend_on_the_batch(tiny, sampling):
    together, threes, alone = (
        TransformersPolicy(*tiny, batch_size=size).generate(prompts(), sampling) for size in (8, 3, 1)
    )
    for whole, part, single in zip(together, threes, alone, strict=True):
        assert whole.completion_ids == part.completion_ids == single.completion_ids
        assert whole.text == single.text
        assert whole.prompt_ids == single.prompt_ids
        assert whole.logprobs == pytest.approx(single.logprobs, abs=1e-4)


def test_replies_come_in_the_order_of_the_prompts(tiny):
    policy = TransformersPolicy(*tiny, batch_size=3)
    forward, backward = policy.generate(prompts(), DRAWN), policy.generate(prompts()[::-1], DRAWN)
    assert [reply.completion_ids for reply in backward[::-1]] == [r.completion_ids for r in forward]


def test_the_seed_changes_the_reply_and_nothing_else_does(tiny):
    policy = TransformersPolicy(*tiny)
    prompt = prompts()[0]
    torch.manual_seed(1)
    (first,) = policy.generate([prompt], DRAWN)
    torch.manual_seed(2)
    (again,) = policy.generate([prompt], DRAWN)
    (other,) = policy.generate([replace(prompt, seed=prompt.seed + 1)], DRAWN)
    (large,) = policy.generate([replace(prompt, seed=2**64 - 1)], DRAWN)
    assert first == again
    assert len({first.completion_ids, other.completion_ids, large.completion_ids}) == 3


def test_greedy_ignores_the_seed(tiny):
    prompt = prompts()[0]
    first, second = TransformersPolicy(*tiny).generate([prompt, replace(prompt, seed=9)], GREEDY)
    assert first.completion_ids == second.completion_ids


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 1.7])
def test_recorded_logprobs_are_those_of_a_teacher_forced_forward(tiny, temperature):
    """Over the whole vocabulary at logits / temperature, although top-k and top-p were applied."""
    model, processor = tiny
    sampling = Sampling(temperature=temperature, top_p=0.8, top_k=50, max_new_tokens=10)
    inputs = prompts()
    for item, reply in zip(
        inputs, TransformersPolicy(model, processor).generate(inputs, sampling), strict=True
    ):
        ids = torch.tensor([[*reply.prompt_ids, *reply.completion_ids]])  # (1, tokens)
        images = {}
        if item.page is not None:
            pixels, grid = item.page.pixel_values()
            images = {"pixel_values": torch.from_numpy(pixels), "image_grid_thw": torch.from_numpy(grid)}
        with torch.no_grad():
            logits = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == model.config.image_token_id).long(),
                **images,
            ).logits[0, len(reply.prompt_ids) - 1 : -1]  # (completion tokens, vocabulary)
        expected = (logits / (temperature or 1)).log_softmax(-1)
        chosen = expected.gather(1, torch.tensor(reply.completion_ids)[:, None])[:, 0]
        assert reply.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)


def test_the_sampler_follows_the_softmax():
    """Ten thousand seeds against known probabilities; the bound is the 1 - 1e-6 quantile of chi-square."""
    probabilities = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03])
    draws = 10_000
    sampler = SeededSampler(range(draws), Sampling(temperature=1), NO_BANS)
    scores = sampler(torch.zeros(draws, 1), probabilities.log().expand(draws, 5))
    counts = torch.bincount(scores.argmax(-1), minlength=5)
    chi_square = ((counts - draws * probabilities) ** 2 / (draws * probabilities)).sum()
    assert chi_square < 33.4  # 4 degrees of freedom
    assert torch.allclose(sampler.logprobs[0].exp(), probabilities[scores.argmax(-1)], atol=1e-6)


def test_positions_of_one_reply_are_drawn_independently():
    """Two coins in a row, each fair: the four outcomes are equally frequent."""
    draws = 4_000
    sampler = SeededSampler(range(draws), Sampling(temperature=1), NO_BANS)
    first, second = (sampler(torch.zeros(draws, 1), torch.zeros(draws, 2)).argmax(-1) for _ in range(2))
    counts = torch.bincount(2 * first + second, minlength=4)
    assert (counts - draws / 4).abs().max() < 5 * math.sqrt(draws * 3 / 16)  # five standard deviations


def test_temperature_filters_and_bans_shape_the_draw():
    logits = torch.tensor([4.0, 3.0, 2.0, 1.0]).expand(2_000, 4)

    def drawn(**settings) -> set[int]:
        banned = torch.tensor(settings.pop("banned", []), dtype=torch.long)
        sampler = SeededSampler(range(2_000), Sampling(**settings), banned)
        return set(sampler(torch.zeros(2_000, 1), logits).argmax(-1).tolist())

    assert drawn() == {0, 1, 2, 3}
    assert drawn(temperature=0) == {0}
    assert drawn(temperature=0, banned=[0]) == {1}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.6) == {0}  # softmax of the logits: .64, .24, .09, .03
    assert drawn(top_p=0.8) == {0, 1}
    assert drawn(banned=[0, 1]) == {2, 3}
    assert drawn(temperature=0.01) == {0}  # 100 times the distance between logits


def test_a_negative_temperature_is_refused():
    with pytest.raises(PolicyError, match=r"temperature must be at least 0 .* got -1"):
        SeededSampler([0], Sampling(temperature=-1), NO_BANS)


@pytest.fixture
def eager_to(tiny):
    """Makes the model want certain tokens at every position, for one test."""
    model, _ = tiny
    hooks = []

    def want(*tokens: int):
        def favour(module, inputs, logits):
            logits[..., list(tokens)] += 50 * torch.arange(len(tokens), 0, -1)
            return logits

        hooks.append(model.lm_head.register_forward_hook(favour))

    yield want
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_vision_tokens_and_ids_without_a_token_are_never_chosen(tiny, encoder, eager_to, sampling):
    padding = range(encoder.num_tokens, tiny[0].config.text_config.vocab_size)
    eager_to(*encoder.vision_token_ids, *padding)
    (reply,) = TransformersPolicy(*tiny).generate(prompts()[:1], sampling)
    assert not set(reply.completion_ids) & {*encoder.vision_token_ids, *padding}
    assert min(reply.logprobs) < -50  # what was chosen was improbable, and is recorded so


@pytest.mark.parametrize("token", ["<|im_end|>", "<|endoftext|>"])
def test_a_reply_ends_with_its_end_token(tiny, encoder, eager_to, token):
    end = tiny[1].tokenizer.convert_tokens_to_ids(token)
    eager_to(end)
    for reply in TransformersPolicy(*tiny).generate(prompts(), DRAWN):
        assert reply.completion_ids == (end,)
        assert len(reply.logprobs) == 1
        assert reply.text == ""
        assert reply.token_spans == ((0, 0),)


def test_padding_after_the_end_is_cut_off(tiny, encoder):
    """Rows of one batch end at different positions; a shorter one carries nothing of the longer."""
    end = encoder.eos_token_id

    def now_and_then(module, inputs, logits):
        logits[..., end] += 6
        return logits

    hook = tiny[0].lm_head.register_forward_hook(now_and_then)
    try:
        replies = TransformersPolicy(*tiny).generate(prompts(), replace(DRAWN, max_new_tokens=30))
    finally:
        hook.remove()
    lengths = {len(reply.completion_ids) for reply in replies}
    assert len(lengths) > 1
    for reply in replies:
        assert end not in reply.completion_ids[:-1]
        assert len(reply.logprobs) == len(reply.completion_ids) == len(reply.token_spans)


def test_the_models_own_generation_settings_are_not_applied(tiny):
    """Published checkpoints come with a repetition penalty and a near-zero temperature."""
    model, _ = tiny
    policy = TransformersPolicy(*tiny)
    before = policy.generate(prompts(), DRAWN)
    changed = {"repetition_penalty": 5.0, "temperature": 1e-6, "top_k": 1, "do_sample": True}
    originals = {name: getattr(model.generation_config, name) for name in changed}
    try:
        for name, value in changed.items():
            setattr(model.generation_config, name, value)
        assert policy.generate(prompts(), DRAWN) == before
    finally:
        for name, value in originals.items():
            setattr(model.generation_config, name, value)


def test_equal_pages_go_through_the_vision_tower_once(tiny, encoder):
    model, _ = tiny
    seen = []
    hook = model.model.visual.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["grid_thw"].tolist()), with_kwargs=True
    )
    try:
        generate_replies(model, encoder, prompts(), DRAWN)
    finally:
        hook.remove()
    _, grids = batch_pixel_values([p for p in dict.fromkeys(item.page for item in prompts()) if p])
    assert seen == [grids.tolist()]  # three different pages among seven


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_and_gradients_are_left_as_they_were(tiny, encoder, training):
    model, _ = tiny
    model.train(training)
    seen = []
    hook = model.register_forward_pre_hook(lambda *_: seen.append((model.training, torch.is_grad_enabled())))
    try:
        generate_replies(model, encoder, prompts()[:2], DRAWN)
        assert model.training is training
    finally:
        hook.remove()
        model.eval()
    assert set(seen) == {(False, False)}


def test_half_precision_runs(tiny, encoder):
    import copy

    model = copy.deepcopy(tiny[0]).to(torch.bfloat16)
    replies = generate_replies(model, encoder, prompts(), DRAWN)
    assert all(math.isfinite(value) for reply in replies for value in reply.logprobs)


def test_no_prompts_no_replies(tiny, encoder):
    assert generate_replies(*tiny[:1], encoder, [], DRAWN) == []
    assert TransformersPolicy(*tiny).generate([], DRAWN) == []


def test_batches_hold_at_least_one_prompt(tiny):
    with pytest.raises(PolicyError, match="batch_size must be at least 1"):
        TransformersPolicy(*tiny, batch_size=0)


def test_a_reserved_cache_holds_what_the_default_cache_holds(tiny):
    model, _ = tiny
    model.model.rope_deltas = None  # transformers keeps those of the last `generate` call
    ids = torch.randint(0, 200, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    results = []
    with torch.no_grad():
        for cache in (DynamicCache(config=model.config), reserved_cache(model.config, room=9)):
            for end in (6, 7, 9):  # a prompt of six tokens, then one, then two
                start = cache.get_seq_length()
                logits = model(
                    input_ids=ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache
                ).logits
            results.append((logits, *[layer.keys for layer in cache.layers]))
    for default, reserved in zip(*results, strict=True):
        torch.testing.assert_close(reserved, default, atol=1e-5, rtol=1e-5)


def test_a_page_is_what_the_reply_depends_on(tiny):
    """The same words and seed under two pages: the distribution of the first token differs."""
    first, second = (
        PolicyInput("Act.", "go to cabinet 1", page_of(text), seed=1)
        for text in ("mug: cabinet", "mug: drawer\n" * 4)
    )
    one, two = TransformersPolicy(*tiny).generate([first, second], replace(DRAWN, max_new_tokens=1))
    assert one.logprobs != two.logprobs
