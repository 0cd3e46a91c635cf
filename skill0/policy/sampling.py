"""Drawing replies, with randomness that belongs to each prompt, not to the batch.

Every prompt carries a seed. Its reply is drawn by the Gumbel-max trick (adding Gumbel noise to the logits and
taking the largest is drawing from their softmax) with noise from a generator of its own, one draw of the size
of the vocabulary per position. So a reply is the same in any batch, order or process; up to rounding, since
matrix products of another batch size may differ in the last bit.

The log-probability recorded for a token is that of softmax(logits / temperature) over the whole vocabulary,
*before* top-k, top-p and the ban on vision tokens. That is the quantity the trainer recomputes: TRL divides
the logits by the temperature and normalises over everything (`add_fused_lm_head` in trl/trainer/utils.py), so
the two agree to rounding and their ratio starts at one. For greedy decoding the temperature counts as 1.

Left out on purpose: beams, penalties, stop strings. Logits are never stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from skill0.agent.policy import PolicyInput, PolicyOutput, Sampling
from skill0.context import Page
from skill0.errors import PolicyError
from skill0.policy.decoding import decode, must_generate
from skill0.policy.encoding import PromptEncoder
from skill0.policy.stems import image_inputs, padded


class SeededSampler(LogitsProcessor):
    """Chooses each row's next token and leaves it the only one possible, for `generate` to take greedily.

    `seeds` has one seed per row. `banned` are ids never to be chosen. `logprobs` grows by one tensor
    `(rows,)` a position.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling, banned: torch.Tensor):
        if sampling.temperature < 0:
            raise PolicyError(f"temperature must be at least 0 (0 is greedy), got {sampling.temperature}")
        self._temperature = sampling.temperature
        self._banned = banned
        self._generators = [torch.Generator(device=banned.device).manual_seed(seed % 2**63) for seed in seeds]
        self._filters: list[Any] = []
        if sampling.top_k > 0:
            self._filters.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._filters.append(TopPLogitsWarper(sampling.top_p))
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        chosen, logprob = self._choose(scores, range(len(scores)))
        self.logprobs.append(logprob)
        return torch.full_like(scores.float(), -torch.inf).scatter_(1, chosen[:, None], 0.0)

    def draw(self, logits: torch.Tensor, rows: Sequence[int]) -> tuple[list[int], torch.Tensor]:
        """The next tokens of some rows, whose logits (rows, vocabulary) these are, and their
        log-probabilities (rows,)."""
        chosen, logprob = self._choose(logits, rows)
        return chosen.tolist(), logprob

    def _choose(self, scores: torch.Tensor, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        logits = scores.float() / (self._temperature or 1.0)  # (rows, vocabulary)
        allowed = logits.index_fill(1, self._banned, -torch.inf)  # (rows, vocabulary)
        if self._temperature > 0:
            for keep in self._filters:
                allowed = keep(None, allowed)
            allowed = allowed + self._gumbel(allowed, rows)
        chosen = allowed.argmax(dim=-1, keepdim=True)  # (rows, 1)
        logprob = logits.gather(1, chosen) - logits.logsumexp(dim=-1, keepdim=True)  # (rows, 1)
        return chosen.squeeze(1), logprob.squeeze(1)

    def _gumbel(self, like: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        uniform = torch.empty_like(like)  # (rows, vocabulary), each row from its own generator
        for numbers, row in zip(uniform, rows, strict=True):
            numbers.uniform_(generator=self._generators[row])
        return -(-uniform.log()).log()


@torch.no_grad()
def generate_replies(
    model: Any,
    encoder: PromptEncoder,
    inputs: Sequence[PolicyInput],
    sampling: Sampling,
    prompt_ids: Sequence[tuple[int, ...]] | None = None,
) -> list[PolicyOutput]:
    """One batch of replies, in the order of the inputs.

    `model` is a Qwen2.5-VL, bare or wrapped by PEFT; it is put in eval mode for the call. `prompt_ids` may
    be given when the inputs are encoded already. Pages may differ in size or be absent; equal pages go
    through the vision tower once. `completion_ids` are as sampled, with the end-of-sequence token if there
    is one; `logprobs` belong to them one by one.
    """
    if not inputs:
        return []
    prompts = list(prompt_ids) if prompt_ids is not None else [encoder.encode(item) for item in inputs]
    device = next(model.parameters()).device
    vocabulary = model.config.get_text_config().vocab_size
    banned = [*encoder.vision_token_ids, *range(encoder.num_tokens, vocabulary)]
    sampler = SeededSampler(
        [item.seed for item in inputs], sampling, torch.tensor(banned, dtype=torch.long, device=device)
    )
    pages = [item.page for item in inputs]
    with _eval_mode(model):
        if must_generate(model, prompts, encoder.image_token_id):
            replies, logprobs = generate(model, encoder, prompts, pages, sampler, sampling.max_new_tokens)
        else:
            replies, logprobs = decode(
                model,
                prompts,
                pages,
                sampler.draw,
                max_new_tokens=sampling.max_new_tokens,
                end_token_ids=end_token_ids(model, encoder),
                pad_token_id=encoder.pad_token_id,
                image_token_id=encoder.image_token_id,
                pixels=encoder.pixels,
            )
    return [
        PolicyOutput(
            text=encoder.decode(reply),
            prompt_ids=prompt,
            completion_ids=tuple(reply),
            logprobs=tuple(scores),
            token_spans=encoder.token_spans(reply),
        )
        for prompt, reply, scores in zip(prompts, replies, logprobs, strict=True)
    ]


def generate(
    model: Any,
    encoder: PromptEncoder,
    prompts: Sequence[tuple[int, ...]],
    pages: Sequence[Page | None],
    sampler: SeededSampler,
    max_new_tokens: int,
) -> tuple[list[list[int]], list[list[float]]]:
    """What `decode` returns, by `model.generate`."""
    ids, mask = (
        part.to(model.device) for part in padded(prompts, encoder.pad_token_id, left=True)
    )  # both (rows, prompt tokens)
    ends = end_token_ids(model, encoder)
    sequences = model.generate(
        input_ids=ids,
        attention_mask=mask,
        mm_token_type_ids=((ids == encoder.image_token_id) & mask.bool()).long(),
        **image_inputs(model, pages, encoder.pixels),
        generation_config=_plain_greedy(max_new_tokens, ends, encoder.pad_token_id),
        logits_processor=LogitsProcessorList([sampler]),
    )
    replies = sequences[:, ids.shape[1] :].tolist()  # (rows, new tokens)
    logprobs = torch.stack(sampler.logprobs, dim=1).tolist()  # (rows, new tokens)
    lengths = [next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in replies]
    cut = [row[:length] for row, length in zip(replies, lengths, strict=True)]
    return cut, [row[:length] for row, length in zip(logprobs, lengths, strict=True)]


def _plain_greedy(max_new_tokens: int, eos_token_ids: frozenset[int], pad_token_id: int) -> GenerationConfig:
    """`generate` without any opinion of its own: the sampler has already chosen.

    What is not set here would be taken from the model's own generation config; the published ones hold a
    repetition penalty.
    """
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        min_new_tokens=0,
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=sorted(eos_token_ids),
        pad_token_id=pad_token_id,
        use_cache=True,
        disable_compile=True,
    )


def end_token_ids(model: Any, encoder: PromptEncoder) -> frozenset[int]:
    """The tokens that end a reply: those that the model declares, and the tokenizer's own."""
    declared = model.generation_config.eos_token_id
    declared = [declared] if isinstance(declared, int) else declared or []
    return frozenset({*declared, encoder.eos_token_id})


@contextmanager
def _eval_mode(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
