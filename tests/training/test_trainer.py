"""The trainer learns, loses nothing, repeats itself exactly, and says what is wrong with its input."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from colours import history, make_config, make_trainer, parameters
from colours_reader import use_reader
from colours_world import AlwaysRed, PatientColours, make_bank, make_tasks

from skill0.policy import vision
from skill0.training import rounds, trl_internals
from skill0.training.turn_batching import image_tensors


def rows(trainer: Any, count: int) -> list[dict[str, Any]]:
    """Dataset rows of the first tasks, each repeated for its group."""
    size = trainer.args.group_size
    return [{"task": position // size} for position in range(count)]


def test_it_learns_to_say_the_word(colours_policy: Path, tmp_path: Path) -> None:
    # One turn, two words: the policy starts at about one half and must come to prefer the right one.
    trainer = make_trainer(
        colours_policy, tmp_path, env=AlwaysRed, skills=None, max_steps=20, learning_rate=3e-3,
        eval_tasks=make_tasks(20, "held-out"), validation_temperature=1.0,
    )  # fmt: skip
    before = trainer.evaluate()["eval_success_without_skills"]
    trainer.train()
    after = trainer.evaluate()["eval_success_without_skills"]
    assert before < 0.8
    assert after >= 0.95
    assert history(trainer)[-1]["success"] >= 0.9


def test_the_curriculum_ends_with_an_empty_context(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path, max_steps=4)
    trainer.train()
    found = history(trainer)
    # Two stages of two steps with budgets 2 and 0 (equation 6).
    assert [row["curriculum/stage"] for row in found] == [1, 1, 2, 2]
    assert [row["curriculum/budget"] for row in found] == [2, 2, 0, 0]
    assert [row["curriculum/active_files"] for row in found] == [2, 2, 0, 0]
    assert trainer.curriculum.active == ()
    # A blank page costs 4 visual tokens; one with a skill costs more at the first turn already.
    assert found[0]["context/visual_tokens"] > found[-1]["context/visual_tokens"] >= 4


def test_helpfulness_is_measured_when_it_is_due(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(
        colours_policy, tmp_path, max_steps=3, num_stages=None, budgets=[2], curriculum_interval=2,
        helpfulness_filter="none",
    )  # fmt: skip
    trainer.train()
    (change,) = trainer.curriculum.timeline
    assert change.step == 2
    assert set(change.helpfulness) == {"warm", "cold"}
    assert all(item.tasks == 2 for item in change.helpfulness.values())  # 4 held-out tasks, 2 of each type
    found = history(trainer)
    assert "helpfulness/warm" not in found[1]
    assert found[2]["helpfulness/warm"] == change.helpfulness["warm"].delta
    # Validation tasks are not trained on.
    assert len(trainer.tasks) == 12
    assert not {task.id for task in trainer.tasks} & {task.id for task in trainer.validation_tasks}


def test_two_runs_with_one_seed_are_identical(colours_policy: Path, tmp_path: Path) -> None:
    runs = []
    for number, seed in enumerate((0, 0, 1)):
        trainer = make_trainer(colours_policy, tmp_path / str(number), max_steps=2, seed=seed)
        trainer.train()
        runs.append((history(trainer), parameters(trainer)))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


def test_pixels_by_the_image_processor_train_the_same(colours_policy: Path, tmp_path: Path) -> None:
    runs = []
    for pixels in ("glyphs", "processor"):
        trainer = make_trainer(colours_policy, tmp_path / pixels, max_steps=2, page_pixels=pixels)
        trainer.train()
        runs.append((history(trainer), parameters(trainer)))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_mean": "token", "group_statistics": "row"},
        {"num_iterations": 2, "steps_per_generation": 2, "per_device_train_batch_size": 8, "beta": 0.04},
        {"steps_per_generation": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8,
         "loss_type": "cispo", "entropy_coef": 0.01},
        {"activation_checkpointing": True, "check_sampling": True, "history_in": "text", "skills_in": "text"},
        {"advantage_estimator": "gigpo", "gigpo_anchor": "admissible", "gigpo_similarity": 0.9,
         "group_statistics": "row", "loss_mean": "row", "dynamic_sampling": 1},
        {"arm_advantages": "contrast", "paired_fraction": 1.0, "group_baseline": "leave_one_out",
         "scale_rewards": "none", "loss_type": "sapo", "loss_mean": "row"},
        {"loss_type": "vespo", "loss_mean": "token", "num_iterations": 2, "entropy_coef": 0.01},
    ],
    ids=[
        "token-row", "iterations-windows-kl", "accumulation-cispo-entropy", "text-checkpointing", "gigpo",
        "contrast-leave-one-out", "vespo-iterations",
    ],
)  # fmt: skip
def test_other_settings_train_too(colours_policy: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    trainer = make_trainer(colours_policy, tmp_path, max_steps=2, **changes)
    start = parameters(trainer)
    trainer.train()
    assert not torch.equal(parameters(trainer), start)
    found = history(trainer)
    assert [row["step"] for row in found] == [1, 2]
    assert all(math.isfinite(row["loss"]) for row in found)
    if "beta" in changes:
        assert found[0]["kl"] == pytest.approx(0.0, abs=1e-6)  # the policy is its own reference
        assert found[1]["kl"] > 0.0  # half of the round is trained on after a step
    if "check_sampling" in changes:
        assert found[0]["sampling/logp_difference_max"] < 1e-4
        assert found[0]["context/visual_tokens"] == 0


def test_low_rank_adapters_train_and_nothing_else(colours_policy: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)")
    trainer = make_trainer(colours_policy, tmp_path, max_steps=2, peft_config=config, beta=0.04)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    changed = {
        name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed
    assert all("lora" in name for name in changed)


def test_trls_pass_is_told_which_pages_are_equal(
    colours_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights under an adapter go through TRL's pass. No pixels are compared: on a GPU none could be."""
    peft = pytest.importorskip("peft")
    trainer = make_trainer(
        colours_policy, tmp_path, beta=0.1, peft_config=peft.LoraConfig(r=2, target_modules=["q_proj"])
    )
    encoded: list[int] = []
    tower = trainer.model.get_base_model().model.visual
    tower.patch_embed.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    trainer.current_gradient_accumulation_steps = 1
    (window,) = rounds.make_round(trainer, rows(trainer, 16))
    monkeypatch.setattr(vision, "_first_equal", lambda images: pytest.fail("pixels were compared"))
    encoded.clear()
    trainer.compute_loss(trainer.model, window)
    shown = [[item.turn.page for item in batch] for batch in window]
    assert encoded == [4 * sum(page.visual_tokens for page in set(pages)) for pages in shown]
    assert any(len(set(pages)) < len(pages) for pages in shown)


class TestGradient:
    """The gradient of a round is that of equation 5, however the round is cut."""

    SETTINGS: ClassVar[dict[str, Any]] = {
        "num_iterations": 2,
        "beta": 0.05,
        "entropy_coef": 0.01,
        "loss_mean": "trajectory",
    }

    def gradient(self, trainer: Any, windows: list[Any]) -> tuple[float, torch.Tensor]:
        trainer.model.train()
        trainer.model.zero_grad()
        trainer.current_gradient_accumulation_steps = 1
        total = 0.0
        for window in windows:
            loss = trainer.compute_loss(trainer.model, window)
            trainer.accelerator.backward(loss)
            total += loss.item()
        return total, torch.cat([p.grad.flatten().double() for p in trainer.model.parameters()])

    def round_of(self, policy: Path, folder: Path, **changes: Any) -> tuple[Any, list[Any]]:
        """A round, and then a policy that has moved on from the one that played it."""
        trainer = make_trainer(policy, folder, **{**self.SETTINGS, **changes})
        trainer.model.train()
        windows = rounds.make_round(trainer, rows(trainer, 16))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter += 0.003 * torch.randn(parameter.shape, generator=generator)
        return trainer, windows

    def test_it_does_not_depend_on_the_micro_batches(self, colours_policy: Path, tmp_path: Path) -> None:
        found = {}
        for size in (3, 64):
            trainer, windows = self.round_of(colours_policy, tmp_path, turn_micro_batch_size=size)
            assert max(len(micro_batch) for micro_batch in windows[0]) <= size
            found[size] = self.gradient(trainer, windows)
        assert found[3][0] == pytest.approx(found[64][0], rel=1e-4)
        assert torch.allclose(found[3][1], found[64][1], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("mean", ["trajectory", "token", "row", "row_sum", "constant"])
    def test_it_equals_a_plain_loop_over_equation_5(
        self, colours_policy: Path, tmp_path: Path, mean: str
    ) -> None:
        trainer, windows = self.round_of(colours_policy, tmp_path, loss_mean=mean)
        loss, gradient = self.gradient(trainer, windows)
        trainer.model.zero_grad()
        expected = self.plain_loss(trainer, windows, mean)
        expected.backward()
        plain = torch.cat([p.grad.flatten().double() for p in trainer.model.parameters()])
        assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        assert torch.allclose(gradient, plain, rtol=1e-3, atol=1e-6)
        assert plain.norm() > 0.01  # there is something to compare

    def plain_loss(self, trainer: Any, windows: list[Any], mean: str) -> torch.Tensor:
        """Turn by turn, token by token, with transformers' own forward pass."""
        items = [item for window in windows for batch in window for item in batch if not item.is_padding]
        tokens_of: dict[float, int] = {}
        for item in items:
            tokens_of[item.weight] = tokens_of.get(item.weight, 0) + len(item.turn.completion_ids)
        tokens = sum(tokens_of.values())
        # A sum over rows instead of a mean is as much larger as they are long; replies have at most 8 tokens.
        whole = {"row_sum": tokens / len(items), "constant": tokens / len(items) / 8}.get(mean, 1.0)
        assert sum(weight * tokens for weight, tokens in tokens_of.items()) == pytest.approx(whole)
        assert (len(tokens_of) == 1) == (mean in ("token", "row_sum", "constant"))
        total: Any = 0.0
        for item in items:
            batch, images = trainer.collate([item]), image_tensors([item.turn])
            ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
            logits = trainer.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=images["pixel_values"],
                image_grid_thw=images["image_grid_thw"], mm_token_type_ids=batch["mm_token_type_ids"],
            ).logits[0]  # fmt: skip
            start = batch["prompt_ids"].shape[1]
            scores = torch.log_softmax(logits[start - 1 : -1].float(), dim=-1)  # (tokens, vocabulary)
            for place, token in enumerate(item.turn.completion_ids):
                new, old = scores[place, token], item.old_logprobs[place]
                ratio = torch.exp(new - old)
                gain = torch.min(ratio * item.advantage, ratio.clamp(0.8, 1.2) * item.advantage)
                distance = item.reference_logprobs[place] - new
                kl = (torch.exp(distance) - distance - 1) * ratio
                entropy = -(scores[place].exp() * scores[place]).sum()
                bonus = item.weight if mean in ("trajectory", "token") else 1 / tokens
                total = total - item.weight * (gain - 0.05 * kl) - 0.01 * bonus * entropy
        return total

    def test_turns_without_advantage_are_left_out_where_they_change_nothing(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        plain = {"beta": 0.0, "entropy_coef": 0.0, "num_iterations": 1}
        trainer, windows = self.round_of(colours_policy, tmp_path, **plain)
        advantages = {item.advantage for window in windows for batch in window for item in batch}
        assert 0.0 not in advantages
        trainer, windows = self.round_of(colours_policy, tmp_path, **{**plain, "entropy_coef": 1e-9})
        everything = sum(len(batch) for window in windows for batch in window)
        assert everything == trainer._metrics["train"]["rollout/turns"][0]


class TestInfrastructure:
    def test_a_run_in_which_every_episode_fails_goes_on_and_learns_nothing(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        trainer = make_trainer(
            colours_policy, tmp_path, tasks=make_tasks(16, "cursed"), skills=None, max_steps=2
        )
        start = parameters(trainer)
        trainer.train()
        assert torch.equal(parameters(trainer), start)
        for row in history(trainer):
            assert row["infrastructure/count"] == row["infrastructure/raised"] == 16
            assert row["rollout/trajectories"] == 0
            assert "reward" not in row

    def test_failed_groups_leave_the_rest_as_it_is(self, colours_policy: Path, tmp_path: Path) -> None:
        tasks = make_tasks(2) + make_tasks(2, "cursed")
        trainer = make_trainer(colours_policy, tmp_path / "a", tasks=tasks, skills=None)
        whole = make_trainer(
            colours_policy, tmp_path / "b", tasks=tasks[:2], skills=None, per_device_train_batch_size=8
        )
        found = []
        for run, count in ((trainer, 16), (whole, 8)):
            run.model.train()
            (window,) = rounds.make_round(run, rows(run, count))
            items = [item for batch in window for item in batch if not item.is_padding]
            found.append(sorted((item.turn.reply, item.advantage, item.weight) for item in items))
        assert found[0] == found[1]
        assert trainer._metrics["train"]["infrastructure/count"] == [8.0]


def test_every_logged_figure_is_explained(colours_policy: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "trainer.md").read_text(encoding="utf-8")
    trainer = make_trainer(
        colours_policy, tmp_path, max_steps=3, budgets=[2], num_stages=None, beta=0.01, check_sampling=True,
        tasks=[*make_tasks(15), *make_tasks(1, "cursed")], eval_tasks=make_tasks(2, "eval"),
        paired_fraction=1.0, helpfulness_from="both", internalization_weight=1.0,
        internalization_replay=1, advantage_estimator="gigpo", dynamic_sampling=1,
    )  # fmt: skip
    use_reader(trainer, told=1.0, guessed=0.2)
    trainer.train()
    trainer.evaluate()
    logged = {key for row in trainer.state.log_history for key in row}
    families = re.compile(r"^(success|infrastructure|helpfulness|helpfulness_paired|eval_success_\w+)/\w+$")
    assert {
        "comparison/bias",
        "internalization/loss",
        "internalization/remembered_rounds",
        "paired/effect",
        "helpfulness_paired/warm",
    } <= logged
    assert {"gigpo/turns_alone", "dynamic_sampling/refills"} <= logged
    for name in sorted({families.sub(r"\1/*", name) for name in logged}):
        assert f"`{name}`" in page, f"docs/trainer.md does not explain {name}"


def test_the_pages_a_model_is_trained_on_are_those_it_saw(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path)
    trainer.model.train()
    (window,) = rounds.make_round(trainer, rows(trainer, 16))
    placeholder = trainer.encoder.image_token_id
    for item in (item for batch in window for item in batch):
        assert item.turn.prompt_ids.count(placeholder) == item.turn.page.visual_tokens
        assert placeholder not in item.turn.completion_ids
    shown = {item.turn.page.text() for batch in window for item in batch if not item.is_padding}
    assert any("red" in text for text in shown)


def test_trajectories_do_not_depend_on_environment_workers(colours_policy: Path, tmp_path: Path) -> None:
    found = []
    for workers in (0, 2):
        trainer = make_trainer(colours_policy, tmp_path, env_workers=workers, env=PatientColours)
        trainer.model.train()
        try:
            (window,) = rounds.make_round(trainer, rows(trainer, 16))
        finally:
            trainer.close()
        found.append(
            [(i.turn.prompt_ids, i.turn.completion_ids, i.advantage) for batch in window for i in batch]
        )
    assert found[0] == found[1]


def test_what_private_state_it_keeps_starts_empty(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(colours_policy, tmp_path)
    assert trl_internals.windows_done(trainer) == 0
    assert trainer.loss_sums.sum() == 0
    assert make_config(tmp_path).round_size == 16
    assert trainer.bank.digest == make_bank().digest


def test_replies_can_be_logged_as_a_table(colours_policy: Path, tmp_path: Path) -> None:
    import pandas

    trainer = make_trainer(colours_policy, tmp_path, skills=None, max_steps=1, log_completions=True)
    trainer.train()
    table = pandas.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert len(table) == 16  # as many as there are trajectories in a round
    assert {"prompt", "completion", "equation_4", "advantage"} <= set(table.columns)
    assert table["prompt"][0][0]["content"] in ("a colour?", "no.")
