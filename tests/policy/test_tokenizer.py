"""The small tokenizer: lossless on anything, one token per name wherever it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kitchen import LEXICON, TEXTS
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from skill0.errors import PolicyError
from skill0.policy import build_tokenizer, lexicon_from_texts
from skill0.policy.tokenizer import REPLY_TAGS, SPECIAL_TOKENS, byte_alphabet

TOKENIZER = build_tokenizer(LEXICON)


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([token]) for token in TOKENIZER(text)["input_ids"]]


snippets = st.sampled_from(
    [*LEXICON, *REPLY_TAGS, *SPECIAL_TOKENS, " ", "  ", "\n", "\t", "mugs", "mug 12", "é", "😀"]
)


@given(st.text() | st.lists(snippets | st.text(max_size=3)).map("".join))
def test_any_text_survives_encoding_and_decoding(text):
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


@given(st.text() | st.lists(snippets).map("".join))
def test_with_split_special_tokens_no_text_makes_a_control_token(text):
    ids = TOKENIZER(text, split_special_tokens=True)["input_ids"]
    assert not set(ids) & set(TOKENIZER.all_special_ids)
    assert TOKENIZER.decode(ids) == text


def test_a_name_is_the_same_single_token_wherever_it_stands():
    (mug,) = TOKENIZER("mug 2")["input_ids"]
    for text in ("take mug 2 from cabinet 1", "a mug 2, a mug 1.", "<action>mug 2</action>", "\nmug 2\n"):
        assert mug in TOKENIZER(text)["input_ids"], text


def test_words_and_phrases_take_the_spaces_between_names():
    assert pieces("take mug 2 from cabinet 1") == ["take ", "mug 2", " from ", "cabinet 1"]
    assert pieces("<action>go to fridge 1</action>") == ["<action>", "go to ", "fridge 1", "</action>"]
    assert pieces("mug cabinet") == ["mug", " ", "cabinet"]


def test_a_name_ends_where_its_word_or_number_ends():
    assert "mug 2" not in pieces("mug 21")
    assert "mug" in pieces("mug 21")
    assert "mug" not in pieces("mugs")
    assert "mug" not in pieces("smug")


def test_reply_tags_are_read_when_special_tokens_are_skipped():
    ids = TOKENIZER("<think>mug</think><|im_end|>")["input_ids"]
    assert len(ids) == 4
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "<think>mug</think>"


def test_saved_and_loaded_it_encodes_the_same(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "<think>é</think><|im_end|>  \n"):
        assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
        assert loaded(text, split_special_tokens=True) == TOKENIZER(text, split_special_tokens=True)
    assert (loaded.eos_token, loaded.pad_token, loaded.padding_side) == (
        "<|im_end|>",
        "<|endoftext|>",
        "left",
    )


def test_a_lexicon_knows_names_their_lower_numbers_and_what_stands_between():
    lexicon = lexicon_from_texts(["go to cabinet 2, step 3 of 50"], phrases=["go to"])
    # "cabinet" was seen with 2, so cabinet 1 is known; "step" and "of" are no names though numbers follow.
    names = ["cabinet", "cabinet 1", "cabinet 2"]
    between = ["go to", "go to ", ",", ", ", "step", "step ", "3", "3 ", "of", "of ", "50"]
    assert lexicon == tuple(sorted(names + between))


def test_a_lexicon_does_not_depend_on_the_order_of_the_texts():
    assert lexicon_from_texts(TEXTS) == lexicon_from_texts(reversed(TEXTS))


def test_a_high_number_makes_no_name():
    assert "seed 7" not in lexicon_from_texts(["seed 1234"])


def test_byte_alphabet_is_gpt2s():
    assert byte_alphabet() == tuple(bytes_to_unicode()[byte] for byte in range(256))


@pytest.mark.parametrize("entry", ["", "  ", "a <|im_end|>", "<think>"])
def test_blank_entries_and_control_tokens_are_refused(entry):
    with pytest.raises(PolicyError, match="entry may neither be blank nor hold a control token"):
        build_tokenizer([entry])
