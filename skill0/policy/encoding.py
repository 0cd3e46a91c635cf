"""From a prompt to token ids and from reply ids back to text: the only place where skill0 tokenises.

The chat template's own text is trusted, everything else (system prompt, observations, skills) is not: it is
tokenised so that the spelling of a control token stays plain text. An observation that says
"<|im_end|>" can thus neither end a turn nor, with "<|image_pad|>", shift the image.

Works with byte-level tokenizers: those of Qwen and of the tiny policy.

Left out on purpose: several images a prompt, and conversations of several turns; the prompt is rebuilt at
every step of an episode.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from skill0.agent.policy import PolicyInput
from skill0.context.tensors import Pixels, official_pixels, pixel_tensors
from skill0.errors import ConfigError, PolicyError
from skill0.policy.processor import IMAGE_TOKEN, VIDEO_TOKEN
from skill0.policy.tokenizer import byte_alphabet

# Stand for the texts while the chat template is rendered; private-use characters survive any template.
_SYSTEM, _USER = "\ue000system\ue000", "\ue000user\ue000"

_VISION_TOKENS = (IMAGE_TOKEN, VIDEO_TOKEN, "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")


PIXELS = ("glyphs", "processor")


class PromptEncoder:
    """Encodes prompts for one processor.

    Args:
        processor: of the model.
        pixels: how pages become pixel values: from their "glyphs", which is fast, or by the "processor" from
            images. Both are bit-equal for the processors of the published checkpoints.

    Raises:
        PolicyError: the tokenizer is not byte-level, or takes control tokens from plain text even when told
            not to; the chat template drops a part of the prompt.
        ConfigError: another way to make pixel values.
    """

    def __init__(self, processor: Any, pixels: str = "glyphs"):
        if pixels not in PIXELS:
            raise ConfigError(f"pixel values are made from {' or by the '.join(PIXELS)}, not {pixels!r}")
        by_processor = pixels == "processor"
        self.pixels: Pixels = official_pixels(processor.image_processor) if by_processor else pixel_tensors
        self.processor = processor
        self.tokenizer = processor.tokenizer
        vocabulary = self.tokenizer.get_vocab()
        self.image_token_id: int = vocabulary[IMAGE_TOKEN]
        self.pad_token_id: int = self.tokenizer.pad_token_id
        self.eos_token_id: int = self.tokenizer.eos_token_id
        self.vision_token_ids = tuple(vocabulary[token] for token in _VISION_TOKENS if token in vocabulary)
        self.num_tokens = max(vocabulary.values()) + 1
        """Ids from here on are padding of the embedding matrix: nothing decodes from them."""
        self._control_ids = frozenset({*self.tokenizer.all_special_ids, *self.vision_token_ids})
        self._skeletons: dict[tuple[bool, bool], tuple[int | tuple[str, ...], ...]] = {}
        self._bytes_of: dict[int, bytes] = {}
        # The template's own texts are in every prompt, and episodes of a group see the same observations.
        self._cached_ids = lru_cache(maxsize=4096)(self._plain_ids)
        self._check_tokenizer()

    def encode(self, prompt: PolicyInput) -> tuple[int, ...]:
        """The ids of a prompt up to where the reply begins, one image placeholder per visual token.

        With an empty system text the template decides what the system turn says. The ids are those of
        `processor.apply_chat_template` wherever the texts hold no control tokens.
        """
        ids: list[int] = []
        texts = {_SYSTEM: prompt.system, _USER: prompt.text}
        for part in self._skeleton(bool(prompt.system), prompt.page is not None):
            if isinstance(part, tuple):
                ids += self._cached_ids("".join(texts.get(piece, piece) for piece in part))
            elif part == self.image_token_id and prompt.page is not None:
                ids += [part] * prompt.page.visual_tokens
            else:
                ids.append(part)
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a reply; control tokens leave no trace, bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(self._token_bytes, ids)).decode("utf-8", "replace")

    def token_spans(self, ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """For each id the characters `[start, end)` of `decode(ids)` that it wrote.

        Ids that share a character (bytes of one) have the same span; control tokens have an empty one.
        """
        pieces = [self._token_bytes(token) for token in ids]
        character_at, total = _character_of_each_byte(b"".join(pieces))
        spans, position = [], 0
        for piece in pieces:
            start = character_at[position] if position < len(character_at) else total
            position += len(piece)
            spans.append((start, character_at[position - 1] + 1 if piece else start))
        return tuple(spans)

    def _skeleton(self, has_system: bool, has_page: bool) -> tuple[int | tuple[str, ...], ...]:
        """The chat template's structure: control ids, and texts between them in pieces to be filled in."""
        key = (has_system, has_page)
        if key not in self._skeletons:
            user = [{"type": "image"}] * has_page + [{"type": "text", "text": _USER}]
            messages = [{"role": "system", "content": [{"type": "text", "text": _SYSTEM}]}] * has_system
            messages.append({"role": "user", "content": user})
            rendered = self.processor.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            self._skeletons[key] = self._parse(rendered, *key)
        return self._skeletons[key]

    def _parse(self, rendered: str, has_system: bool, has_page: bool) -> tuple[int | tuple[str, ...], ...]:
        expected = {_SYSTEM: int(has_system), _USER: 1, IMAGE_TOKEN: int(has_page)}
        for mark, count in expected.items():
            found = rendered.count(mark)
            if found != count:
                raise PolicyError(
                    f"the chat template shows {mark.strip(chr(0xE000))} {found} times instead of {count}; it "
                    "must show the system text, one image and the user text once each"
                )
        vocabulary = self.tokenizer.get_vocab()
        control = "|".join(re.escape(self.tokenizer.convert_ids_to_tokens(i)) for i in self._control_ids)
        parts: list[int | tuple[str, ...]] = []
        for chunk in re.split(f"({control})", rendered):
            if chunk in vocabulary and vocabulary[chunk] in self._control_ids:
                parts.append(vocabulary[chunk])
            elif chunk:
                parts.append(tuple(piece for piece in re.split(f"({_SYSTEM}|{_USER})", chunk) if piece))
        return tuple(parts)

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of untrusted text, none of them a control token."""
        # Lone surrogates are no text; tokenizers refuse them.
        text = text.encode("utf-8", "replace").decode("utf-8")
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def _token_bytes(self, token: int) -> bytes:
        if token not in self._bytes_of:
            self._bytes_of[token] = self._spell(token)
        return self._bytes_of[token]

    def _spell(self, token: int) -> bytes:
        if token in self._control_ids or token >= self.num_tokens:
            return b""
        content = self.tokenizer.convert_ids_to_tokens(token)
        if content is None:
            return b""
        if token in self.tokenizer.added_tokens_decoder:
            return content.encode("utf-8")
        values = {character: byte for byte, character in enumerate(byte_alphabet())}
        return bytes(values[character] for character in content)

    def _check_tokenizer(self) -> None:
        decoder = type(self.tokenizer.backend_tokenizer.decoder).__name__
        if decoder != "ByteLevel":
            raise PolicyError(
                f"skill0 needs a byte-level tokenizer, as Qwen's; this one decodes by {decoder}"
            )
        if self.pad_token_id is None or self.eos_token_id is None:
            raise PolicyError("the tokenizer must have a pad_token and an eos_token")
        control = [self.tokenizer.convert_ids_to_tokens(token) for token in sorted(self._control_ids)]
        forged = self._control_ids.intersection(self._plain_ids(" ".join(control)))
        if forged:
            token = self.tokenizer.convert_ids_to_tokens(min(forged))
            raise PolicyError(
                f"the tokenizer reads {token} in plain text as a control token; declare it special in "
                "tokenizer.json, or observations could forge it"
            )


def _character_of_each_byte(data: bytes) -> tuple[list[int], int]:
    """Every byte's character index in `data.decode("utf-8", "replace")`; and the text's length."""
    index: list[int] = []
    total, position = 0, 0
    while position < len(data):
        try:
            data[position:].decode("utf-8")
            valid, broken = len(data) - position, 0
        except UnicodeDecodeError as error:
            valid, broken = error.start, error.end - error.start
        for byte in data[position : position + valid]:
            total += byte & 0xC0 != 0x80  # every byte but a continuation begins a character
            index.append(total - 1)
        if broken:
            index += [total] * broken
            total += 1
        position += valid + broken
    return index, total
