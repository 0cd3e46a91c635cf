"""Attention weights at marked positions are those of transformers' eager implementation."""

from __future__ import annotations

import torch
from classroom import pupil

from skill0.training.attention import attention_inputs, passed_on, start_copying


def test_the_weights_are_those_of_the_eager_implementation():
    model, _ = pupil()
    ids = torch.arange(300, 314).reshape(2, 7)
    mask = torch.tensor(
        [[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]]
    )  # the first turn is padded on the left
    rows, queries = torch.tensor([0, 1, 1]), torch.tensor([4, 2, 6])
    with torch.no_grad(), attention_inputs(model, (0, 1)) as inputs:
        model.model(input_ids=ids, attention_mask=mask, use_cache=False)
    model.set_attn_implementation({"text_config": "eager"})
    with torch.no_grad():
        eager = model.model(input_ids=ids, attention_mask=mask, use_cache=False, output_attentions=True)
    for layer in (0, 1):
        ours = inputs[layer].weights(mask, rows, queries, slice(2, 4))  # (marks, heads, tokens)
        assert torch.allclose(ours, eager.attentions[layer][rows, 2:4, queries], atol=1e-6)


def test_no_hook_stays_behind():
    model, _ = pupil()
    with attention_inputs(model, (0,)):
        pass
    assert not model.model.language_model.layers[0].self_attn._forward_pre_hooks


def test_a_layer_that_starts_copying_passes_on_what_it_attends_to():
    """A state comes out of value and output map much like itself; before, it comes out as anything."""
    model, _ = pupil()
    attention = model.model.language_model.layers[1].self_attn
    states = torch.randn(50, attention.v_proj.in_features, generator=torch.Generator().manual_seed(0))

    def likeness() -> torch.Tensor:
        with torch.no_grad():
            passed = attention.o_proj(attention.v_proj(states) - attention.v_proj.bias)
        return torch.cosine_similarity(passed, states)

    assert likeness().mean().abs() < 0.2
    start_copying(model, 1)
    assert likeness().min() > 0.3


def test_what_heads_pass_on_is_the_output_of_attention_to_one_state_alone():
    model, _ = pupil()
    block = model.model.language_model.layers[1]
    states = torch.randn(5, block.self_attn.v_proj.in_features, generator=torch.Generator().manual_seed(0))
    # Five sequences of one token each: a softmax over one position is 1, whatever is asked.
    still = torch.zeros(5, 1, block.self_attn.head_dim)
    with torch.no_grad():
        alone, _ = block.self_attn(
            block.input_layernorm(states)[:, None], position_embeddings=(still + 1, still)
        )  # (sequences, 1, width)
        halves = [passed_on(model, 1, heads, states) for heads in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(halves[0] + halves[1], alone[:, 0])
    assert not torch.allclose(halves[0], alone[:, 0], atol=1e-3)
