"""The image-and-text processor: works without torchvision, survives saving, keeps pages as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kitchen import page_of
from transformers import AutoProcessor, PreTrainedTokenizerFast, ProcessorMixin, Qwen2VLImageProcessorPil

from skill0.errors import PolicyError
from skill0.policy import ImageTextProcessor, build_tokenizer


def chat(page, text="go to fridge 1"):
    content = [{"type": "image", "image": page.image()}, {"type": "text", "text": text}]
    return [{"role": "user", "content": content}]


def encode(processor, page):
    return processor.apply_chat_template(
        chat(page), tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
    )


def test_one_placeholder_per_visual_token_and_pixels_as_the_page_makes_them(tiny):
    _, processor = tiny
    page = page_of("mug: cabinet\n" * 9)
    batch = encode(processor, page)
    placeholders = batch["input_ids"] == processor.image_token_id
    assert placeholders.sum() == page.visual_tokens
    assert (batch["mm_token_type_ids"] == placeholders).all()
    pixels, grid = page.pixel_values()
    assert np.array_equal(batch["pixel_values"].numpy(), pixels)
    assert np.array_equal(batch["image_grid_thw"].numpy(), grid)


def test_round_trip_through_a_folder(tiny, saved):
    _, processor = tiny
    page = page_of("apple: fridge")
    for loaded in (ImageTextProcessor.from_pretrained(saved), AutoProcessor.from_pretrained(saved)):
        assert type(loaded) is ImageTextProcessor
        assert type(loaded.image_processor) is Qwen2VLImageProcessorPil
        assert loaded.chat_template == processor.chat_template
        for key, value in encode(processor, page).items():
            assert (encode(loaded, page)[key] == value).all(), key


def test_saved_twice_it_is_the_same(saved, tmp_path):
    ImageTextProcessor.from_pretrained(saved).save_pretrained(tmp_path)
    for file in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / file).read_text() == (saved / file).read_text(), file


def test_no_processor_class_is_named_on_disk(saved):
    """An unknown name there would make `AutoProcessor` return a bare tokenizer where skill0 is absent."""
    for file in ("processor_config.json", "tokenizer_config.json", "config.json"):
        assert "processor_class" not in json.loads((saved / file).read_text())


def test_placeholders_can_be_counted_without_the_image(tiny):
    page = page_of("fork: drawer\n" * 6)
    counts = tiny[1]._get_num_multimodal_tokens(image_sizes=[page.size])
    assert counts.num_image_tokens == [page.visual_tokens]


def test_trl_takes_it_for_a_processor(tiny):
    assert isinstance(tiny[1], ProcessorMixin)


def test_a_tokenizer_without_image_tokens_is_refused(tiny):
    from tokenizers import Tokenizer, models

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(PolicyError, match=r"has no token <\|image_pad\|>"):
        ImageTextProcessor(image_processor=tiny[1].image_processor, tokenizer=plain)


def test_pushing_to_the_hub_is_refused(tmp_path):
    processor = ImageTextProcessor(
        image_processor=Qwen2VLImageProcessorPil(), tokenizer=build_tokenizer(["mug 1"])
    )
    with pytest.raises(PolicyError, match="upload the folder"):
        processor.save_pretrained(tmp_path, push_to_hub=True)
