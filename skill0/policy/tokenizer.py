"""A small tokenizer over an environment's own names, lossless on any text.

A *name* ("cabinet 2", "mug") is one token and the same token wherever it stands, so that copying a name from
an observation into a command is copying one token. To make that hold, the spaces around a name belong to the
words and punctuation between the names: "take mug 1 from cabinet 2" is `take ` `mug 1` ` from ` `cabinet 2`.
Text outside the lexicon falls back to UTF-8 bytes, one token each, as in GPT-2's byte-level BPE; there are no
merges. The special tokens are those of Qwen2.5-VL, in its order; the tags of a reply (`<think>`, ...) are
ordinary tokens, because replies are decoded without the special ones.

Left out on purpose: learned merges and normalisation. A household needs about a thousand tokens, and
normalising would make decoding lossy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from skill0.errors import PolicyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Qwen2.5-VL's control tokens, in the order of its vocabulary."""

REPLY_TAGS = ("<think>", "</think>", "<action>", "</action>", "<compression>", "</compression>")

CHAT_ROLES = ("system", "user", "assistant")

_WORD = r"[^\W\d_]+"
_NUMBERED_NAME = re.compile(rf"({_WORD}) (\d+)")
_CONTROL = re.compile("|".join(map(re.escape, (*SPECIAL_TOKENS, *REPLY_TAGS))))
_NEVER_NAMES = frozenset(re.findall(_WORD, "a about after and at by for in of on or step than the to with"))
"""Words that stand before numbers in English ("step 3 of 50") without naming a thing."""

_MOST_OF_A_KIND = 99
"""A word followed by a higher number ("seed 1234") is not taken for a name."""


def lexicon_from_texts(
    texts: Iterable[str], phrases: Sequence[str] = (), names: Sequence[str] = ()
) -> tuple[str, ...]:
    """What a tokenizer needs to know to write sample texts in few tokens, sorted.

    Texts are prompts, observations, commands. A word followed by a number names a thing: it is taken alone
    and with all numbers from 1 to the highest seen, so that having seen "cabinet 3" is to know "cabinet 1".
    `phrases` are kept whole: pass the verbs of several words ("go to"). `names` are one token each, whatever
    stands around them ("New Delhi"). Everything else is taken with the spaces it was seen with, and bare. The
    result does not depend on the order of the texts.
    """
    parts = [part for text in texts for part in _CONTROL.split(text)]
    highest: dict[str, int] = {}
    for part in parts:
        for word, number in _NUMBERED_NAME.findall(part):
            if word.lower() not in _NEVER_NAMES and int(number) <= _MOST_OF_A_KIND:
                highest[word] = max(highest.get(word, 0), int(number))
    numbered = [f"{word} {number}" for word, last in highest.items() for number in range(1, last + 1)]
    splitter = _splitter(numbered, phrases, names)
    pieces = {piece for part in parts for piece, _ in splitter.pre_tokenize_str(part) if piece.strip()}
    return tuple(sorted({*highest, *numbered, *names, *pieces, *(piece.strip() for piece in pieces)}))


def build_tokenizer(lexicon: Sequence[str], names: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per lexicon entry, plus bytes, reply tags and Qwen2.5-VL's control tokens.

    An entry is a token exactly as written, spaces included ("go to ", " from "); entries of the form "word
    number" are names, and so are their words. `lexicon_from_texts` makes such a lexicon; `names` are those it
    was given.

    Ids: 0..255 are the bytes, then the lexicon in the order given, then reply tags, then control tokens.
    `eos_token` is `<|im_end|>`, `pad_token` is `<|endoftext|>`, padding is on the left.

    Raises:
        PolicyError: an entry is blank or holds a control token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    for entry in lexicon:
        if not entry.strip() or _CONTROL.search(entry):
            raise PolicyError(
                f"lexicon entry {entry!r}: an entry may neither be blank nor hold a control token"
            )
    alphabet = byte_alphabet()
    vocabulary = {character: byte for byte, character in enumerate(alphabet)}
    for entry in (*lexicon, *CHAT_ROLES):
        vocabulary.setdefault("".join(alphabet[byte] for byte in entry.encode("utf-8")), len(vocabulary))

    # `ignore_merges`: a pre-token that is in the vocabulary is a token, any other falls apart into bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    numbered, phrases = _names_and_phrases(lexicon, names)
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([_splitter(numbered, phrases, names), as_bytes])  # type: ignore
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in REPLY_TAGS])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )


def byte_alphabet() -> tuple[str, ...]:
    """The printable character that stands for each byte 0..255 in a byte-level vocabulary (GPT-2's table).

    Printable Latin-1 characters stand for themselves, all others for code points from 256 on, in order.
    """
    printable = {
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    }
    substitutes = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(substitutes)) for byte in range(256))


def _names_and_phrases(lexicon: Iterable[str], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The entries "word number", and the other entries that hold a space inside and are no name."""
    inner = list(dict.fromkeys(entry.strip() for entry in lexicon if " " in entry.strip()))
    numbered = [entry for entry in inner if _NUMBERED_NAME.fullmatch(entry)]
    known = {*numbered, *names}
    return numbered, [entry for entry in inner if entry not in known]


def _splitter(numbered: Sequence[str], phrases: Sequence[str], names: Sequence[str] = ()) -> Any:
    """Cuts a text into names, and what stands between them with the spaces next to it."""
    from tokenizers import Regex, pre_tokenizers

    end = r"(?![\p{L}\p{N}])"  # keeps "mug 1" out of "mug 12", and "mug" out of "mugs"
    numbers: dict[str, list[str]] = {}
    for entry in numbered:
        word, _, number = entry.partition(" ")
        numbers.setdefault(word, []).append(number)
    # Longest first: Oniguruma takes the first alternative that matches.
    alternatives = [
        rf"{re.escape(word)}(?: (?:{'|'.join(sorted(found, key=len, reverse=True))}){end})?"
        for word, found in sorted(numbers.items(), key=lambda item: -len(item[0]))
    ]
    # What ends in a letter must not go on; a tag may stand before any text.
    whole = [re.escape(name) + end * name[-1].isalnum() for name in sorted(names, key=len, reverse=True)]
    name = rf"(?:{'|'.join(alternatives)}){end}" if alternatives else r"(?!)"
    name = rf"(?:{'|'.join([*whole, name])})" if whole else name
    inner = [re.escape(phrase.strip()) for phrase in sorted(phrases, key=len, reverse=True)]
    phrase = rf" ?(?:{'|'.join(inner)}){end} ?|" if inner else ""
    between = rf" ?(?!{name})\p{{L}}+ ?| ?\p{{N}}+ ?| ?[^\s\p{{L}}\p{{N}}]+ ?|\s"
    return pre_tokenizers.Split(Regex(f"{name}|{phrase}{between}"), behavior="isolated")
