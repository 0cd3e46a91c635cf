"""A saved policy works in a process that cannot import skill0: what docs/policy.md promises, run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from kitchen import page_of

from skill0.agent import PolicyInput, Sampling
from skill0.policy import TransformersPolicy

WITHOUT_SKILL0 = """
import json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "skill0":
            raise ImportError("this process must not import skill0")

sys.meta_path.insert(0, Block())
folder, image_file = sys.argv[1:]

from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

model = AutoModelForImageTextToText.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
image_processor = AutoImageProcessor.from_pretrained(folder)

vision = image_processor(images=[Image.open(image_file)], return_tensors="pt")
placeholders = "<|image_pad|>" * (int(vision["image_grid_thw"][0].prod()) // image_processor.merge_size**2)
chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "go to fridge 1"}]}]
prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
batch = tokenizer(prompt.replace("<|image_pad|>", placeholders), return_tensors="pt")
batch["mm_token_type_ids"] = (batch["input_ids"] == model.config.image_token_id).long()
ids = model.generate(**batch, **vision, max_new_tokens=6, do_sample=False)
prompt_length = batch["input_ids"].shape[1]

try:
    processor = type(AutoProcessor.from_pretrained(folder)).__name__
except ImportError as error:
    processor = str(error)
print(json.dumps({
    "model": type(model).__name__,
    "prompt": ids[0, :prompt_length].tolist(),
    "completion": ids[0, prompt_length:].tolist(),
    "processor": processor,
    "skill0": [name for name in sys.modules if name.startswith("skill0")],
}))
"""


@pytest.mark.integration
def test_a_saved_policy_loads_and_replies_without_skill0(tiny, saved, tmp_path):
    page = page_of("mug: cabinet\n" * 5)
    page.image().save(tmp_path / "page.png")
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_SKILL0, str(saved), str(tmp_path / "page.png")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    plain = json.loads(result.stdout.splitlines()[-1])
    assert plain["model"] == "Qwen2_5_VLForConditionalGeneration"
    assert plain["skill0"] == []

    (here,) = TransformersPolicy(*tiny).generate(
        [PolicyInput("", "go to fridge 1", page)], Sampling(temperature=0, max_new_tokens=6)
    )
    assert tuple(plain["prompt"]) == here.prompt_ids
    assert tuple(plain["completion"][: len(here.completion_ids)]) == here.completion_ids

    if importlib.util.find_spec("torchvision") is None:
        assert "Torchvision" in plain["processor"]  # refused loudly, not replaced by a bare tokenizer
    else:
        assert plain["processor"] == "Qwen2_5_VLProcessor"
