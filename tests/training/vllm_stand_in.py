"""A stand-in for TRL's `VLLMGeneration`: a copy of the model, in another place, that must be sent weights.

It samples with transformers from token ids and PIL images, as vLLM does, one prompt at a time. Processes
share the work as TRL lets them: a server is asked by the main process for the prompts of all, colocated
engines of one tensor-parallel group (here all processes) each answer the prompts of the whole group; and each
process takes the answers from `its number x its own prompts` on, which is right only if all have as many.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from transformers import Qwen2_5_VLForConditionalGeneration


class StandIn:
    """`forgets`: whether weights that are sent get lost. `temperature_lost`: whether log-probabilities are
    reported before temperature, as vLLM does without `processed_logprobs`."""

    forgets = False
    temperature_lost = False

    def __init__(self, model: Any, processing_class: Any, **settings: Any) -> None:
        self.trained, self.processor, self.settings = model, processing_class, settings
        # Not a deep copy: TRL patches a model's forward pass, and the copy would run the original's.
        self.own = Qwen2_5_VLForConditionalGeneration._from_config(copy.deepcopy(model.config))
        self._load()
        self.temperature, self.top_p, self.top_k = settings["temperature"], 1.0, 0
        self.max_completion_length = settings["max_completion_length"]
        self.synchronised = 0
        self.calls = 0  # of `generate`
        self.answers = 0  # given by this process's engine, or by the server that it asked
        # What a server says of itself when TRL asks it.
        info = {"model_config": {"logprobs_mode": "processed_logprobs", "max_logprobs": -1}}
        self.vllm_client = SimpleNamespace(get_server_info=lambda: info)

    def sync_weights(self) -> None:
        self.synchronised += 1
        if not self.forgets:
            self._load()

    def _load(self) -> None:
        """Takes over the weights, with adapters merged, under their plain names, as TRL sends them."""
        adapter = hasattr(self.trained, "peft_config")
        if adapter:
            self.trained.merge_adapter()
        names = {
            name: name.removeprefix("base_model.model.").replace(".base_layer", "")
            for name in self.trained.state_dict()
            if "lora_" not in name
        }
        self.own.load_state_dict({names[name]: self.trained.state_dict()[name] for name in names})
        if adapter:
            self.trained.unmerge_adapter()

    def generate(self, prompts: Any, images: Any, num_generations: int, profiler: Any = None) -> Any:
        assert num_generations == 1
        self.calls += 1
        accelerator, server = self.settings["accelerator"], self.settings["mode"] == "server"
        if not server and self.settings["tensor_parallel_size"] == 1:
            return prompts, *self._answer(prompts, images), None
        everyones = gather_object(prompts)
        pictures = gather_object([None] * len(prompts) if images is None else images)
        told: list[Any] = [None]
        if accelerator.is_main_process or not server:
            told = [(everyones, *self._answer(everyones, pictures))]
        if server:
            broadcast_object_list(told)
        first = accelerator.process_index * len(prompts)
        answered, replies, logprobs = (part[first : first + len(prompts)] for part in told[0])
        return answered, replies, logprobs, None

    @torch.no_grad()
    def _answer(self, prompts: Any, images: Any) -> tuple[list[list[int]], list[list[list[float]]]]:
        self.answers += len(prompts)
        pictures = [None] * len(prompts) if images is None else images
        pairs = [self._reply(ids, picture) for ids, picture in zip(prompts, pictures, strict=True)]
        return [reply for reply, _ in pairs], [scores for _, scores in pairs]

    def _reply(self, prompt: list[int], pictures: Any) -> tuple[list[int], list[list[float]]]:
        ids = torch.tensor([prompt])  # (1, prompt tokens)
        seen = (
            {} if pictures is None else self.processor.image_processor(images=pictures, return_tensors="pt")
        )
        self.own.eval()
        bias = self.settings["generation_kwargs"]["logit_bias"]
        reply: list[int] = []
        scores: list[list[float]] = []
        ends = {self.processor.tokenizer.eos_token_id}
        while len(reply) < self.max_completion_length and not set(reply[-1:]) & ends:
            whole = torch.cat([ids, torch.tensor([reply], dtype=torch.long)], dim=1)
            logits = self.own(
                input_ids=whole, attention_mask=torch.ones_like(whole),
                mm_token_type_ids=(whole == self.own.config.image_token_id).long(), **seen,
            ).logits[0, -1].float()  # fmt: skip
            for token, value in bias.items():
                logits[int(token)] += value
            shaped = torch.log_softmax(logits / self.temperature, dim=-1)  # (vocabulary,)
            token = int(torch.multinomial(shaped.exp(), 1))
            told = torch.log_softmax(logits, dim=-1) if self.temperature_lost else shaped
            reply.append(token)
            scores.append([told[token].item()])
        return reply, scores
