"""A tiny but real Qwen2.5-VL: the official model class with an own vocabulary, trainable on two cores.

Shape: one vision block of width 64 with full attention over the page, four text layers of width 128, input
and output embeddings tied. It writes the files any Qwen2.5-VL has, so all that works here (training, saving,
loading with plain transformers) works with the published models, and the other way round.

Left out on purpose: window attention (a page is a few hundred patches), dropout, videos. The initial scale
0.05 is larger than Qwen's 0.02: in so narrow layers the smaller one leaves attention nearly uniform at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skill0.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from skill0.policy.processor import ImageTextProcessor

CHAT_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}\
{% for part in message['content'] %}{% if part['type'] == 'image' %}\
<|vision_start|><|image_pad|><|vision_end|>\
{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""Qwen2.5-VL's turn structure without its default system prompt, which would cost tokens in every prompt."""


@dataclass(frozen=True)
class TinyPolicySettings:
    """The shape of a tiny policy. The default has about 1.1 million parameters and a thousand tokens.

    Args:
        hidden_size (`int`, *optional*, defaults to `128`):
            Width of the text layers.
        num_layers (`int`, *optional*, defaults to `4`):
            Number of text layers.
        num_heads (`int`, *optional*, defaults to `4`):
            Attention heads of a text layer. `hidden_size / num_heads` must be a multiple of 4, for
            the rotary embedding over time, height and width.
        num_key_value_heads (`int`, *optional*, defaults to `4`):
            Key and value heads of a text layer; must divide `num_heads`.
        intermediate_size (`int`, *optional*, defaults to `384`):
            Width inside a text layer's MLP.
        vision_depth (`int`, *optional*, defaults to `1`):
            Number of vision blocks, all with full attention over the image.
        vision_width (`int`, *optional*, defaults to `64`):
            Width of the vision blocks.
        vision_heads (`int`, *optional*, defaults to `4`):
            Attention heads of a vision block; `vision_width / vision_heads` must be a multiple of 4.
        vision_intermediate_size (`int`, *optional*, defaults to `128`):
            Width inside a vision block's MLP.
        max_tokens (`int`, *optional*, defaults to `4096`):
            Longest sequence the position embedding is made for.
        initializer_range (`float`, *optional*, defaults to `0.05`):
            Standard deviation of the initial weights.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 (pydantic reads it; recipes refuse unknown keys)

    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    num_key_value_heads: int = 4
    intermediate_size: int = 384
    vision_depth: int = 1
    vision_width: int = 64
    vision_heads: int = 4
    vision_intermediate_size: int = 128
    max_tokens: int = 4096
    initializer_range: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ConfigError(f"tiny policy: {name} must be positive, got {value}")
        for width, heads in (("hidden_size", "num_heads"), ("vision_width", "vision_heads")):
            if getattr(self, width) % (4 * getattr(self, heads)):
                raise ConfigError(
                    f"tiny policy: {width}={getattr(self, width)} must be a multiple of 4 x {heads}="
                    f"{getattr(self, heads)}"
                )
        if self.num_heads % self.num_key_value_heads:
            raise ConfigError(
                f"tiny policy: num_key_value_heads={self.num_key_value_heads} must divide "
                f"num_heads={self.num_heads}"
            )

    @property
    def mrope_section(self) -> list[int]:
        """Rotary frequencies of a head for time, height and width: 1/4, 3/8, 3/8, as in Qwen2.5-VL."""
        frequencies = self.hidden_size // self.num_heads // 2
        side = frequencies * 3 // 8
        return [frequencies - 2 * side, side, side]


def build_tiny_policy(
    settings: TinyPolicySettings, lexicon: Sequence[str], seed: int = 0, *, names: Sequence[str] = ()
) -> tuple[Qwen2_5_VLForConditionalGeneration, ImageTextProcessor]:
    """A freshly initialised model and its processor. `lexicon` and `names` as in
    `build_tokenizer`.

    The weights depend on `settings`, the size of the vocabulary and `seed` alone; torch's global random
    state is left as it was.
    """
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    from skill0.policy.processor import build_processor
    from skill0.policy.tokenizer import build_tokenizer
    from skill0.policy.vision import speed_up_vision_on_cpu

    processor = build_processor(build_tokenizer(lexicon, names), CHAT_TEMPLATE)
    tokenizer = processor.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_config(settings, tokenizer))
    # Qwen2.5-VL ends a reply at either; transformers and TRL read it from here.
    model.generation_config.eos_token_id = [
        tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")
    ]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    speed_up_vision_on_cpu(model)
    return model.eval(), processor


def _config(settings: TinyPolicySettings, tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    from transformers import Qwen2_5_VLConfig

    from skill0.policy.processor import MERGE, PATCH, TEMPORAL_PATCH

    token_id = tokenizer.get_vocab()
    text = {
        "vocab_size": -(-len(tokenizer) // 64) * 64,  # rounded up: matrix products like whole tiles
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.num_layers,
        "num_attention_heads": settings.num_heads,
        "num_key_value_heads": settings.num_key_value_heads,
        "max_position_embeddings": settings.max_tokens,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": settings.mrope_section,
        },
        "initializer_range": settings.initializer_range,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": settings.vision_depth,
        "hidden_size": settings.vision_width,
        "num_heads": settings.vision_heads,
        "intermediate_size": settings.vision_intermediate_size,
        "out_hidden_size": settings.hidden_size,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": TEMPORAL_PATCH,
        "fullatt_block_indexes": list(range(settings.vision_depth)),
        "initializer_range": settings.initializer_range,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token_id["<|image_pad|>"],
        video_token_id=token_id["<|video_pad|>"],
        vision_start_token_id=token_id["<|vision_start|>"],
        vision_end_token_id=token_id["<|vision_end|>"],
        tie_word_embeddings=True,
    )
