"""Demonstrations as rows for imitation: what is written loads with `datasets` and trains with TRL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from classroom import AGENT, demonstrations, pupil
from datasets import load_dataset
from rich.console import Console

from skill0.errors import ConfigError
from skill0.policy import PromptEncoder
from skill0.training.recipe import load_recipe
from skill0.training.sft_export import export_recipe, export_sft

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def loaded(folder: Path, cache: Path):
    return load_dataset(str(folder), split="train", cache_dir=str(cache))


def test_every_turn_is_a_row_with_its_page(tmp_path: Path):
    """Four episodes of two turns, two with the page of facts and two with a blank one."""
    shown = demonstrations()
    written = export_sft(shown, tmp_path / "sft")
    assert (written.rows, written.pages) == (8, 2)
    assert len(list((tmp_path / "sft/pages").glob("*.png"))) == 2
    rows = loaded(tmp_path / "sft", tmp_path / "cache")
    turns = [pair for e in shown.episodes for pair in zip(e.prompts, e.choices, strict=True)]
    assert len(rows) == len(turns)
    for row, (prompt, choice) in zip(rows, turns, strict=True):
        [image] = row["images"]
        assert prompt.page is not None
        assert image.convert("RGB").tobytes() == prompt.page.image().tobytes()
        [user] = row["prompt"]
        assert [part["type"] for part in user["content"]] == ["image", "text"]
        assert user["content"][1]["text"] == prompt.text
        assert row["completion"] == [
            {"role": "assistant", "content": [{"type": "text", "text": choice.reply}]}
        ]


def test_trl_makes_the_very_ids_that_the_agent_loop_makes(tmp_path: Path):
    """What is imitated is the prompt met later. Only the reply is learnt, and the end of its turn."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    shown = demonstrations()
    export_sft(shown, tmp_path / "sft")
    rows = loaded(tmp_path / "sft", tmp_path / "cache")
    _, processor = pupil()
    encoder = PromptEncoder(processor)
    collator = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    prompts = [prompt for episode in shown.episodes for prompt in episode.prompts]
    choices = [choice for episode in shown.episodes for choice in episode.choices]
    batch = collator([rows[number] for number in range(len(rows))])
    for ids, labels, prompt, choice in zip(
        batch["input_ids"], batch["labels"], prompts, choices, strict=True
    ):
        expected = encoder.encode(prompt)
        assert tuple(ids[: len(expected)].tolist()) == expected
        learnt = labels[labels != -100].tolist()
        assert encoder.decode(learnt).strip() == choice.reply
        assert processor.tokenizer.convert_tokens_to_ids("<|im_end|>") in learnt
        assert (labels[: len(expected)] == -100).all()


def test_trls_trainer_learns_from_it(tmp_path: Path):
    """Twenty steps on the same eight turns; torchvision is not needed, with our processor."""
    from trl import SFTConfig, SFTTrainer

    export_sft(demonstrations(), tmp_path / "sft")
    model, processor = pupil()
    config = SFTConfig(
        output_dir=str(tmp_path / "out"), max_length=None, per_device_train_batch_size=8, max_steps=20,
        learning_rate=1e-2, lr_scheduler_type="constant", logging_steps=1, save_strategy="no", use_cpu=True,
        report_to=[], disable_tqdm=True, activation_checkpointing=False, bf16=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        model, config, train_dataset=loaded(tmp_path / "sft", tmp_path / "cache"), processing_class=processor
    )
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_without_pages_there_are_rows_of_text_alone(tmp_path: Path):
    shown = demonstrations()
    episodes = tuple(
        replace(e, prompts=tuple(replace(prompt, system="Be brief.", page=None) for prompt in e.prompts))
        for e in shown.episodes
    )
    text_only = replace(shown, episodes=episodes, agent=replace(AGENT, skills_in="text"))
    written = export_sft(text_only, tmp_path / "sft")
    assert (written.file.name, written.pages) == ("train.jsonl", 0)
    rows = loaded(tmp_path / "sft", tmp_path / "cache")
    assert "images" not in rows.column_names
    assert [message["role"] for message in rows[0]["prompt"]] == ["system", "user"]


def test_official_games_are_demonstrated_by_their_expert(tmp_path: Path, shared_data: Path):
    """Two games, each played with the bank's files for its task, with some, and without; full text."""
    pytest.importorskip("alfworld")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"output_dir: run\nenvironment: {{games: {shared_data / 'alfworld'}, train_tasks: 8, "
        "validation_tasks: 6, heldout_tasks: 6}\n"
        f"skills: {{bank: {ROOT / 'skills/alfworld'}}}\ntraining: {{use_cpu: true}}\n",
        encoding="utf-8",
    )
    console = Console(quiet=True)
    written = export_recipe(load_recipe(recipe), tmp_path / "sft", console, tasks=2)
    rows = loaded(tmp_path / "sft", tmp_path / "cache")
    assert written.rows == len(rows)
    assert len(set(rows["task_id"])) == 2
    shown = {row["skills"] for row in rows}
    assert "" in shown
    assert len(shown) > 1
    assert all("</action>" in row["completion"][0]["content"][0]["text"] for row in rows)


def test_nothing_is_overwritten_and_nothing_empty_is_written(tmp_path: Path):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="sft is there already"):
        export_sft(demonstrations(), tmp_path / "sft")
    with pytest.raises(ConfigError, match="no episode was won"):
        export_sft(replace(demonstrations(), episodes=()), tmp_path / "other")
    assert not (tmp_path / "other").exists()
