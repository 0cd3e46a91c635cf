"""Paired groups and the internalization loss in the trainer: what is trained on, and with what gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colours import history, make_trainer, parameters
from colours_reader import use_reader
from colours_world import Colours, make_tasks

from skill0.errors import ConfigError
from skill0.training import rounds
from skill0.training.turn_batching import image_tensors

PAIRED: dict[str, Any] = {
    "env": Colours,
    "paired_fraction": 1.0,
    "internalization_weight": 0.5,
    "num_stages": None,
    "budgets": [2],
    "helpfulness_filter": "none",
}


def make_round(trainer: Any, step: int = 1) -> list[Any]:
    """The windows of a round of 4 tasks x 4 members, at a step at which lambda is at its largest."""
    trainer.model.train()
    trainer.state.global_step = step
    trainer.current_gradient_accumulation_steps = 1
    rows = [{"task": position // 4} for position in range(16)]
    return rounds.make_round(trainer, rows)


def items_of(windows: list[Any]) -> list[Any]:
    return [item for window in windows for batch in window for item in batch if not item.is_padding]


def gradient(trainer: Any, windows: list[Any]) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    total = 0.0
    for window in windows:
        loss = trainer.compute_loss(trainer.model, window)
        trainer.accelerator.backward(loss)
        total += loss.item()
    return total, flat_gradient(trainer)


def flat_gradient(trainer: Any) -> torch.Tensor:
    return torch.cat([p.grad.flatten().double() for p in trainer.model.parameters()])


class TestRound:
    def test_members_of_both_arms_share_random_numbers(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, **PAIRED)
        use_reader(trainer, told=0.5, guessed=0.5)  # a policy to which skills make no difference
        seen: list[Any] = []
        run = trainer.loop.run
        trainer.loop.run = lambda *args, **kwargs: seen.extend(run(*args, **kwargs)) or seen
        make_round(trainer)
        arms = {arm: [t for t in seen if bool(t.arm) == arm] for arm in (True, False)}
        assert [t.member for t in arms[True]] == [t.member for t in arms[False]] == [0, 1] * 4
        replies = {arm: [t.turns[0].reply for t in arms[arm]] for arm in arms}
        assert replies[True] == replies[False]
        assert len(set(replies[True])) == 2
        # So no effect is seen where there is none, whatever the luck of the draw.
        assert trainer._metrics["train"]["paired/effect"] == [0.0]
        assert trainer._metrics["train"]["internalization/gate_open"] == [0.0]

    def test_an_arm_that_always_wins_is_imitated_only_without_its_advantages(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        found = {}
        for weighting in ("advantage", "effect", "uniform"):
            trainer = make_trainer(colours_policy, tmp_path, internalization_weighting=weighting, **PAIRED)
            use_reader(trainer, told=1.0, guessed=0.25)
            found[weighting] = [item for item in items_of(make_round(trainer)) if item.imitation]
            logged = {name: values[0] for name, values in trainer._metrics["train"].items()}
            # Always right with skills; Delta_g is 1 less the plain success of each group.
            assert logged["success/with_skills"] == 1.0
            assert logged["paired/groups"] == 4.0
            assert logged["paired/effect"] == pytest.approx(1 - logged["success/without_skills"])
            assert logged["internalization/tokens"] == 2 * 4 * logged["internalization/gate_open"]
        assert found["advantage"] == []
        tokens = logged["internalization/tokens"]  # one token an action: "red" or "blue"
        assert [item.imitation for item in found["uniform"]] == pytest.approx([1 / tokens] * int(tokens))
        effects = {item.imitation * tokens for item in found["effect"]}
        assert effects <= {0.5, 1.0}
        assert effects

    def test_it_costs_nothing_while_lambda_is_0(self, colours_policy: Path, tmp_path: Path) -> None:
        found = []
        for changes in ({"internalization_weight": 0.0}, {"internalization_start": 50}):
            trainer = make_trainer(
                colours_policy, tmp_path, **{**PAIRED, "internalization_weighting": "uniform", **changes}
            )
            use_reader(trainer, guessed=0.25)
            items = items_of(make_round(trainer))
            assert not any(item.imitation for item in items)
            assert not any(name.startswith("internalization") for name in trainer._metrics["train"])
            found.append([(i.turn.prompt_ids, i.turn.completion_ids, i.advantage, i.weight) for i in items])
        assert found[0] == found[1]

    def test_unpaired_groups_show_their_skills_to_all_members(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        trainer = make_trainer(colours_policy, tmp_path, **{**PAIRED, "paired_fraction": 0.25})
        use_reader(trainer)
        make_round(trainer)
        assert trainer._metrics["train"]["paired/groups"] == [1.0]
        assert len(trainer.pairs.episodes) == 4


class TestGradient:
    """The gradient is that of policy loss + lambda * internalization loss, however the round is cut."""

    SETTINGS: dict[str, Any] = {**PAIRED, "internalization_weighting": "uniform"}  # noqa: RUF012

    def round_of(self, policy: Path, folder: Path, **changes: Any) -> tuple[Any, list[Any]]:
        trainer = make_trainer(policy, folder, **{**self.SETTINGS, **changes})
        use_reader(trainer, told=0.75, guessed=0.25)
        windows = make_round(trainer)
        for item in items_of(windows):
            item.old_logprobs = None  # as if the model had played
        return trainer, windows

    @pytest.mark.parametrize("tokens", ["action", "reply"])
    def test_it_equals_a_plain_loop(self, colours_policy: Path, tmp_path: Path, tokens: str) -> None:
        trainer, windows = self.round_of(
            colours_policy, tmp_path, internalization_tokens=tokens, internalization_weighting="effect"
        )
        loss, found = gradient(trainer, windows)
        trainer.model.zero_grad()
        expected, imitated = self.plain_loss(trainer, windows)
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
        assert torch.allclose(found, flat_gradient(trainer), rtol=1e-3, atol=1e-6)
        assert imitated > 0.01
        assert trainer.internalization_sum.item() == pytest.approx(imitated, rel=1e-4)

    def plain_loss(self, trainer: Any, windows: list[Any]) -> tuple[torch.Tensor, float]:
        """Turn by turn with transformers' own forward pass; lambda is 0.5."""
        total: Any = 0.0
        imitated = 0.0
        for item in items_of(windows):
            scores = self.scores(trainer, item)
            for place, token in enumerate(item.turn.completion_ids):
                if item.weight:
                    ratio = torch.exp(scores[place, token] - scores[place, token].detach())
                    total = total - item.weight * item.advantage * ratio
                elif item.imitated[place]:
                    total = total - 0.5 * item.imitation * scores[place, token]
                    imitated -= item.imitation * scores[place, token].item()
        return total, imitated

    def scores(self, trainer: Any, item: Any) -> torch.Tensor:
        """Log-probabilities of a turn's completion, (tokens, vocabulary)."""
        batch, images = trainer.collate([item]), image_tensors([item.turn])
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        logits = trainer.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=images["pixel_values"],
            image_grid_thw=images["image_grid_thw"], mm_token_type_ids=batch["mm_token_type_ids"],
        ).logits[0]  # fmt: skip
        return torch.log_softmax(logits[batch["prompt_ids"].shape[1] - 1 : -1].float(), dim=-1)

    @pytest.mark.parametrize(
        "changes", [{"steps_per_generation": 2, "per_device_train_batch_size": 8}, {"num_iterations": 2}]
    )
    def test_it_does_not_depend_on_micro_batches_and_windows(
        self, colours_policy: Path, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        found = {}
        for size in (3, 64):
            trainer, windows = self.round_of(colours_policy, tmp_path, turn_micro_batch_size=size, **changes)
            found[size] = gradient(trainer, windows)
        assert found[3][0] == pytest.approx(found[64][0], rel=1e-4, abs=1e-6)
        assert torch.allclose(found[3][1], found[64][1], rtol=1e-4, atol=1e-6)
        if "steps_per_generation" in changes:
            # Two windows, each standing for the whole round in a step of its own: their mean is the round.
            trainer, windows = self.round_of(colours_policy, tmp_path)
            whole = gradient(trainer, windows)
            assert torch.allclose(found[3][1] / 2, whole[1], rtol=1e-3, atol=1e-6)

    def test_the_policy_loss_can_be_scaled_and_left_out(self, colours_policy: Path, tmp_path: Path) -> None:
        # The gradient is w * policy + imitation, so what half the policy weight adds to none is half.
        whole, half, none = (
            gradient(*self.round_of(colours_policy, tmp_path, policy_weight=weight))[1]
            for weight in (1.0, 0.5, 0.0)
        )
        assert (whole - none).norm() > 0.01 * none.norm() > 0.0
        assert torch.allclose(half - none, (whole - none) / 2, rtol=1e-3, atol=1e-6)
        _, windows = self.round_of(colours_policy, tmp_path, policy_weight=0.0)
        assert all(item.imitation and not item.weight for item in items_of(windows))

    @pytest.mark.parametrize(("mean", "in_all"), [("open", 1.0), ("round", 0.5)])
    def test_what_the_loss_is_a_mean_over(
        self, colours_policy: Path, tmp_path: Path, mean: str, in_all: float
    ) -> None:
        # All of the skill arm is imitated, with weight 1; it holds half of the round's replies, each a word.
        trainer = make_trainer(colours_policy, tmp_path, **self.SETTINGS, internalization_mean=mean)
        use_reader(trainer, told=1.0, guessed=0.0)
        items = items_of(make_round(trainer))
        assert sum(item.imitation * sum(item.imitated) for item in items) == pytest.approx(in_all)

    def test_masked_tokens_leave_no_trace(self, colours_policy: Path, tmp_path: Path) -> None:
        # Where every arm is flat only the internalization loss is left. The last token that counts in it is
        # the action's: other tokens after it change neither the loss nor, to the last bit, its gradient.
        trainer = make_trainer(colours_policy, tmp_path, **self.SETTINGS)
        use_reader(trainer, told=1.0, guessed=0.0)
        windows = make_round(trainer)
        items = items_of(windows)
        assert all(item.imitation and not item.weight for item in items)
        loss, found = gradient(trainer, windows)
        assert found.norm() > 0.0
        for item in items:
            last = max(place for place, kept in enumerate(item.imitated) if kept)
            ids = item.turn.completion_ids
            changed = (*ids[: last + 1], *(ids[0] for _ in ids[last + 1 :]))
            assert changed != ids
            object.__setattr__(item.turn, "completion_ids", changed)
        assert gradient(trainer, windows)[0] == loss
        assert torch.equal(flat_gradient(trainer), found)


def test_what_the_page_told_is_known_without_it(colours_policy: Path, tmp_path: Path) -> None:
    # Right with skills, wrong without: no arm has any spread, so the policy loss has no gradient, and all
    # that can teach the plain context is the internalization loss.
    warm = [task for task in make_tasks(48) if task.task_type == "warm"]
    trainer = make_trainer(
        colours_policy, tmp_path, tasks=warm[:16], eval_tasks=warm[16:], max_steps=16, learning_rate=3e-3,
        **{**PAIRED, "internalization_weight": 1.0}, internalization_weighting="effect",
        internalization_tokens="reply",
    )  # fmt: skip
    policy = trainer.loop.policy
    before = trainer.evaluate()["eval_success_without_skills"]
    use_reader(trainer, told=1.0, guessed=0.0)
    trainer.train()
    rows = history(trainer)
    assert {row["groups/signal"] for row in rows} == {0.0}
    assert {row["paired/effect"] for row in rows} == {1.0}
    assert [row["internalization/lambda"] for row in rows] == [0.0] + [1.0] * 15
    assert "internalization/loss" not in rows[0]
    assert rows[-1]["internalization/loss"] < 0.5 * rows[1]["internalization/loss"]
    trainer.loop.policy = policy
    assert trainer.evaluate()["eval_success_without_skills"] >= 0.9 > before


class TestHelpfulness:
    """With `helpfulness_from` the curriculum is judged by the pairs of the rounds since its last decision."""

    SETTINGS: dict[str, Any] = {  # noqa: RUF012
        "env": Colours, "paired_fraction": 1.0, "num_stages": None, "budgets": [2], "curriculum_interval": 2,
        "helpfulness_filter": "none", "max_steps": 5,
    }  # fmt: skip

    def test_pairs_take_the_place_of_validation(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, helpfulness_from="paired", **self.SETTINGS)
        assert trainer.validation_tasks == []
        assert len(trainer.tasks) == 16  # none is held out
        use_reader(trainer, told=1.0, guessed=0.25)
        trainer.train()
        rows = history(trainer)
        first, second = trainer.curriculum.timeline
        assert (first.step, second.step) == (2, 4)
        for change in (first, second):
            played = rows[change.step - 2 : change.step]
            effect = sum(row["paired/effect"] for row in played) / 2
            # Every group is paired and every round plays four of them, so the mean over groups is that over
            # files, weighed by the groups of each.
            groups = {name: item.tasks for name, item in change.helpfulness.items()}
            assert sum(groups.values()) == 8
            mean = sum(item.delta * groups[name] for name, item in change.helpfulness.items()) / 8
            assert mean == pytest.approx(effect)
        assert rows[2]["validation/episodes"] == 0.0
        for name in ("warm", "cold"):
            assert rows[2][f"helpfulness/{name}"] == rows[2][f"helpfulness_paired/{name}"]
            assert rows[2][f"helpfulness/{name}"] == first.helpfulness[name].delta
        assert len(trainer.pairs.episodes) == 16  # of the one round since

    def test_both_are_compared(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(colours_policy, tmp_path, helpfulness_from="both", **self.SETTINGS)
        use_reader(trainer, told=1.0, guessed=0.25)
        trainer.train()
        row = history(trainer)[2]
        (change, _) = trainer.curriculum.timeline
        assert row["comparison/files"] == 2.0
        biases = [row[f"helpfulness_paired/{name}"] - item.delta for name, item in change.helpfulness.items()]
        assert row["comparison/bias"] == pytest.approx(sum(biases) / 2)
        assert row["validation/episodes"] == 8.0  # 4 tasks in two arms, of one turn each
        assert row["comparison/validation_env_steps"] == 8.0
        assert row["comparison/paired_env_steps"] == 32.0  # two rounds of 16 episodes

    def test_only_files_that_are_shown_have_helpfulness(self, colours_policy: Path, tmp_path: Path) -> None:
        trainer = make_trainer(
            colours_policy, tmp_path, helpfulness_from="paired", **{**self.SETTINGS, "budgets": [2, 1, 0]}
        )
        use_reader(trainer, told=1.0, guessed=0.25)
        trainer.train()
        # Steps 0-1 show both files, 2-3 the better one, 4 none.
        shown = [
            sorted(key.removeprefix("helpfulness/") for key in row if key.startswith("helpfulness/"))
            for row in history(trainer)
        ]
        assert shown[2] == ["cold", "warm"]  # as measured when the second was withdrawn
        assert shown[3] == list(trainer.curriculum.timeline[0].kept)
        assert len(shown[3]) == 1
        assert "paired/effect" not in history(trainer)[4]  # nothing to pair without skills

    def test_without_a_pair_nothing_is_measured_and_nothing_withdrawn(
        self, colours_policy: Path, tmp_path: Path
    ) -> None:
        changes = {"helpfulness_filter": "positive", "paired_fraction": 0.01, "max_steps": 3}
        trainer = make_trainer(
            colours_policy, tmp_path, helpfulness_from="paired", **{**self.SETTINGS, **changes}
        )
        use_reader(trainer)
        trainer.train()
        (change,) = trainer.curriculum.timeline
        assert {name: item.delta for name, item in change.helpfulness.items()} == {"warm": None, "cold": None}
        assert change.kept == ("warm", "cold")
        assert not any(key.startswith("helpfulness") for key in history(trainer)[-1])


def test_a_resumed_run_equals_the_uninterrupted_one(colours_policy: Path, tmp_path: Path) -> None:
    def make(folder: str) -> Any:
        trainer = make_trainer(
            colours_policy, tmp_path / folder, **{**PAIRED, "budgets": [2, 1]}, max_steps=8,
            helpfulness_from="paired", internalization_weighting="effect", curriculum_interval=3,
            save_strategy="steps", save_steps=6,
        )  # fmt: skip
        use_reader(trainer, told=0.7, guessed=0.2)
        return trainer

    # Files are judged at steps 3, 4 (where the second stage begins) and 7. The checkpoint of step 6 holds the
    # pairs of steps 4 and 5, which the decision at step 7 looks at, too.
    whole = make("whole")
    whole.train()
    assert [change.step for change in whole.curriculum.timeline] == [3, 4, 7]
    resumed = make("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-6"))
    assert resumed.curriculum.timeline == whole.curriculum.timeline
    assert resumed.pairs == whole.pairs
    assert history(resumed) == history(whole)
    assert torch.equal(parameters(resumed), parameters(whole))


def test_pairs_need_skills(colours_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"paired_fraction=0\.5 compares episodes with and without skills"):
        make_trainer(colours_policy, tmp_path, skills=None, paired_fraction=0.5)


def test_it_trains_beside_everything_else(colours_policy: Path, tmp_path: Path) -> None:
    trainer = make_trainer(
        colours_policy, tmp_path, **{**PAIRED, "internalization_weighting": "uniform"}, max_steps=4,
        num_iterations=2, steps_per_generation=2, gradient_accumulation_steps=2,
        per_device_train_batch_size=8, beta=0.04, entropy_coef=0.01, arm_advantages="group",
    )  # fmt: skip
    use_reader(trainer, told=0.75, guessed=0.25)
    start = parameters(trainer)
    trainer.train()
    assert not torch.equal(parameters(trainer), start)
    rows = history(trainer)
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert all(row["internalization/loss"] > 0 for row in rows[1:])
