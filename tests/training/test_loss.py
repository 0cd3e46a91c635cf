"""The policy loss: equation 5 by hand, independence of the cut into micro-batches, and equality with TRL."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from skill0.errors import ConfigError
from skill0.training.loss import (
    MEANS,
    STATISTICS,
    TRL_LOSS_TYPES,
    LossSettings,
    policy_loss,
    sampler_correction,
    trajectory_weights,
    turn_weights,
    vespo_weight,
)


def tensor(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_batch(turns: int = 7, tokens: int = 5, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    lengths = torch.randint(1, tokens + 1, (turns,), generator=generator)
    return {
        "logprobs": -draw(turns, tokens).abs(),
        "old_logprobs": -draw(turns, tokens).abs(),
        "reference_logprobs": -draw(turns, tokens).abs(),
        "entropies": draw(turns, tokens).abs(),
        "mask": (torch.arange(tokens)[None] < lengths[:, None]).long(),
        "advantages": draw(turns),
        "weights": draw(turns).abs(),
    }


class TestWeights:
    def test_equation_5(self) -> None:
        # Group 0: trajectories of 4 and 8 tokens. Group 1: one of 2 tokens.
        # Two groups: 1/2 each. Inside group 0 each trajectory 1/2, so 1/4 over its tokens: 1/16 and 1/32.
        weights = trajectory_weights([4, 8, 2], [0, 0, 1], [True] * 3, "trajectory")
        assert weights == [1 / 16, 1 / 32, 1 / 4]

    def test_per_token(self) -> None:
        assert trajectory_weights([4, 8, 2], [0, 0, 1], [True] * 3, "token") == [1 / 14] * 3

    @pytest.mark.parametrize("mean", ["trajectory", "token"])
    def test_failures_weigh_nothing_and_leave_the_others_as_if_they_had_not_been_there(
        self, mean: str
    ) -> None:
        with_failures = trajectory_weights([4, 5, 8, 0], [0, 0, 1, 1], [True, False, True, True], mean)
        alone = trajectory_weights([4, 8], [0, 1], [True, True], mean)
        assert with_failures == [alone[0], 0.0, alone[1], 0.0]
        assert sum(w * n for w, n in zip(with_failures, [4, 5, 8, 0], strict=True)) == pytest.approx(1.0)

    @pytest.mark.parametrize("mean", ["trajectory", "token"])
    def test_nothing_at_all(self, mean: str) -> None:
        assert trajectory_weights([3, 3], [0, 0], [False, False], mean) == [0.0, 0.0]

    def test_an_unknown_mean_is_named(self) -> None:
        with pytest.raises(ConfigError, match="'median'"):
            trajectory_weights([1], [0], [True], "median")


class TestTurnWeights:
    """Group 0: a trajectory with turns of 1 and 3 tokens, and one of 4. Group 1: one of 2."""

    TOKENS, GROUPS = ((1, 3), (4,), (2,)), (0, 0, 1)

    def weights(self, mean: str, counted: tuple[bool, ...] = (True,) * 3) -> list[tuple[float, ...]]:
        return turn_weights(self.TOKENS, self.GROUPS, counted, mean, longest=5)

    def test_by_hand(self) -> None:
        assert self.weights("trajectory") == [(1 / 16, 1 / 16), (1 / 16,), (1 / 4,)]
        assert self.weights("token") == [(1 / 10, 1 / 10), (1 / 10,), (1 / 10,)]
        # Four turns: a quarter each, shared by their tokens; a quarter a token; that over 5 tokens.
        assert self.weights("row") == [(1 / 4, 1 / 12), (1 / 16,), (1 / 8,)]
        assert self.weights("row_sum") == [(1 / 4, 1 / 4), (1 / 4,), (1 / 4,)]
        assert self.weights("constant") == [(1 / 20, 1 / 20), (1 / 20,), (1 / 20,)]

    @pytest.mark.parametrize("mean", MEANS)
    def test_failures_and_empty_replies_leave_the_others_as_if_they_had_not_been_there(
        self, mean: str
    ) -> None:
        among = turn_weights(((1, 0, 3), (9,), (2,)), (0, 0, 1), (True, False, True), mean, longest=5)
        alone = turn_weights(((1, 3), (2,)), (0, 1), (True, True), mean, longest=5)
        assert (among[0][0], among[0][2], among[2]) == (*alone[0], alone[1])
        assert among[1] == (0.0,)

    @pytest.mark.parametrize("mean", MEANS)
    def test_nothing_at_all(self, mean: str) -> None:
        assert turn_weights(((3,), ()), (0, 0), (False, False), mean, longest=5) == [(0.0,), ()]

    def test_an_unknown_mean_is_named(self) -> None:
        with pytest.raises(ConfigError, match="'median'"):
            self.weights("median")


class TestVespoWeight:
    CONSTANTS = (2.0, 3.0, 3.0, 2.0)

    def weight(self, advantage: float, ratios: list[float], sampler: list[float] | None = None) -> float:
        tokens = len(ratios)
        return vespo_weight(
            torch.log(tensor(ratios)), tensor([advantage]), torch.ones(1, tokens), self.CONSTANTS,
            None if sampler is None else tensor(sampler),
        ).item()  # fmt: skip

    def test_by_hand(self) -> None:
        # w is the product of the ratios. w = 1 weighs 1; w = 2: 2^k * exp(lambda * (1 - 2)).
        assert self.weight(1.0, [2.0, 0.5]) == pytest.approx(1.0)
        assert self.weight(1.0, [2.0, 1.0]) == pytest.approx(4 * math.exp(-3))
        assert self.weight(-1.0, [2.0, 1.0]) == pytest.approx(8 * math.exp(-2))
        assert self.weight(0.0, [0.5, 1.0]) == pytest.approx(0.25 * math.exp(1.5))

    def test_the_sampler_is_part_of_it(self) -> None:
        assert self.weight(1.0, [2.0, 1.0], [0.5, 1.0]) == pytest.approx(1.0)

    def test_padding_is_not(self) -> None:
        log_ratio, mask = torch.log(tensor([2.0, 7.0])), torch.tensor([[1, 0]])
        weight = vespo_weight(log_ratio, tensor([1.0]), mask, self.CONSTANTS, tensor([1.0, 0.0]))
        assert weight.item() == pytest.approx(4 * math.exp(-3))


class TestClippedObjective:
    """Ratios are chosen, so logprobs - old_logprobs = ln(ratio)."""

    def loss(self, ratio: float, advantage: float, **settings: float) -> float:
        logprobs = tensor([math.log(ratio)])
        parts = policy_loss(
            logprobs, torch.zeros_like(logprobs), torch.ones(1, 1), torch.tensor([advantage]), torch.ones(1),
            LossSettings(epsilon_low=0.2, epsilon_high=0.3, **settings),  # type: ignore[arg-type]
            old_logprobs=torch.zeros_like(logprobs),
        )  # fmt: skip
        return parts.loss.item()

    def test_inside_the_range_it_is_ratio_times_advantage(self) -> None:
        assert self.loss(1.1, 2.0) == pytest.approx(-2.2)

    def test_gains_are_cut_off_above_and_losses_below(self) -> None:
        assert self.loss(1.5, 2.0) == pytest.approx(-2.6)  # 1.3 * 2
        assert self.loss(0.5, -2.0) == pytest.approx(1.6)  # 0.8 * 2

    def test_the_pessimistic_side_is_not_clipped(self) -> None:
        assert self.loss(0.5, 2.0) == pytest.approx(-1.0)
        assert self.loss(1.5, -2.0) == pytest.approx(3.0)

    def test_unless_delta_bounds_it(self) -> None:
        assert self.loss(5.0, -2.0, delta=3.0) == pytest.approx(6.0)


def test_the_mean_over_a_trajectory_spans_its_turns() -> None:
    # One trajectory: a turn of 1 token and a turn of 3, advantage 1, ratio 1 everywhere.
    # Equation 5 gives the mean over the 4 tokens of -1 = -1, whatever the turns' lengths.
    logprobs = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    weight = trajectory_weights([4], [0], [True], "trajectory")[0]
    parts = policy_loss(
        logprobs, torch.zeros_like(logprobs), mask, torch.ones(2), torch.full((2,), weight), LossSettings()
    )
    assert parts.loss.item() == pytest.approx(-1.0)
    parts.loss.backward()
    assert logprobs.grad is not None
    assert torch.allclose(logprobs.grad, -mask.double() / 4)


def test_kl_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    batch = random_batch()
    batch["advantages"] = torch.zeros(7)
    settings = LossSettings(beta=0.5)

    def kl(reference: torch.Tensor) -> float:
        inputs = {**batch, "reference_logprobs": reference, "old_logprobs": None}
        return policy_loss(**inputs, settings=settings).loss.item()  # type: ignore[arg-type]

    assert kl(batch["logprobs"]) == 0.0
    assert kl(batch["reference_logprobs"]) > 0.0


def test_beta_without_a_reference_is_an_error() -> None:
    batch = random_batch()
    del batch["reference_logprobs"]
    with pytest.raises(ValueError, match="reference"):
        policy_loss(**batch, settings=LossSettings(beta=0.1))


def test_padding_may_hold_infinities() -> None:
    batch = random_batch()
    clean = policy_loss(**batch, settings=LossSettings(beta=0.1)).loss
    batch["logprobs"] = torch.where(batch["mask"] > 0, batch["logprobs"], -torch.inf).requires_grad_()
    dirty = policy_loss(**batch, settings=LossSettings(beta=0.1)).loss
    assert dirty.item() == clean.item()


@pytest.mark.parametrize("objective", ["grpo", "cispo", "sapo", "vespo"])
@pytest.mark.parametrize("ratio_level", ["token", "sequence"])
def test_the_loss_does_not_depend_on_the_cut_into_micro_batches(objective: str, ratio_level: str) -> None:
    batch = random_batch(turns=9)
    settings = LossSettings(objective, ratio_level=ratio_level, beta=0.1, entropy_coef=0.01)
    whole = policy_loss(**batch, settings=settings)
    for size in (1, 2, 4):
        pieces = [
            policy_loss(
                **{name: value[start : start + size] for name, value in batch.items()}, settings=settings
            )
            for start in range(0, 9, size)
        ]
        assert sum(piece.loss for piece in pieces).item() == pytest.approx(whole.loss.item(), rel=1e-12)  # type: ignore[union-attr]
        assert torch.allclose(sum(piece.sums for piece in pieces), whole.sums)  # type: ignore[arg-type]


def test_statistics_count_real_tokens_only() -> None:
    # Ratios 0.5 and 1.5 with advantage +1: the second is clipped above; with -1 the first is clipped below.
    logprobs = torch.log(tensor([0.5, 1.5, 1.5], [0.5, 1.5, 0.5]))
    parts = policy_loss(
        logprobs, torch.full_like(logprobs, 2.0), torch.tensor([[1, 1, 0], [1, 1, 1]]),
        torch.tensor([1.0, -1.0]), torch.ones(2), LossSettings(), old_logprobs=torch.zeros_like(logprobs),
    )  # fmt: skip
    assert dict(zip(STATISTICS, parts.sums.tolist(), strict=True)) == {
        "tokens": 5.0, "entropy": 10.0, "kl": 0.0, "clipped_low": 2.0, "clipped_high": 1.0,
    }  # fmt: skip


class TestSamplerCorrection:
    trainer, sampler = tensor([0.0, -1.0]), tensor([-math.log(2), -1.0])  # ratios 2 and 1
    mask = torch.ones(1, 2, dtype=torch.long)

    def ratio(self, mode: str, low: float | None, high: float | None) -> list[list[float]]:
        result = sampler_correction(
            self.trainer, self.sampler, self.mask, mode=mode, clip_min=low, clip_max=high
        )
        return [[round(value, 9) for value in row] for row in result.tolist()]

    def test_levels_and_treatments(self) -> None:
        assert self.ratio("token_truncate", None, 3.0) == [[2.0, 1.0]]
        assert self.ratio("token_truncate", None, 1.5) == [[1.5, 1.0]]
        assert self.ratio("token_mask", None, 1.5) == [[0.0, 1.0]]
        assert self.ratio("sequence_truncate", None, 3.0) == [[2.0]]
        assert self.ratio("sequence_mask", None, 1.5) == [[0.0]]
        assert self.ratio("token_mask", 1.5, None) == [[2.0, 0.0]]

    def test_an_unreported_log_probability_corrects_nothing(self) -> None:
        unknown = tensor([math.nan, -1.0])
        result = sampler_correction(
            self.trainer, unknown, self.mask, mode="token_truncate", clip_min=None, clip_max=3.0
        )
        assert result.tolist() == [[1.0, 1.0]]

    def test_an_unknown_mode_is_named(self) -> None:
        with pytest.raises(ConfigError, match="'turn_clip'"):
            self.ratio("turn_clip", None, None)


LONGEST = 11
"""What `max_completion_length` is where TRL's loss is compared with."""


class SingleProcess:
    """The few accelerator calls TRL's loss makes, for one process."""

    num_processes = 1
    sync_gradients = True
    gather = staticmethod(lambda value: value)
    reduce = staticmethod(lambda value, reduction: value)


def trl_loss(
    batch: dict[str, torch.Tensor], settings: LossSettings, loss_type: str, items: float
) -> torch.Tensor:
    """TRL's own `_compute_loss` on given log-probabilities."""
    from trl import GRPOTrainer

    sapo_positive, sapo_negative = settings.sapo_temperatures
    stand_in = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (batch["logprobs"], batch["entropies"], None),
        accelerator=SingleProcess, aux_loss_enabled=False, beta=settings.beta,
        current_gradient_accumulation_steps=1, entropy_coef=settings.entropy_coef,
        epsilon_high=settings.epsilon_high, epsilon_low=settings.epsilon_low,
        importance_sampling_level=settings.ratio_level, loss_type=loss_type,
        model=SimpleNamespace(training=True), off_policy_mask_threshold=None, top_entropy_quantile=1.0,
        use_adaptive_entropy=False, use_vllm=True, vllm_importance_sampling_correction=True,
        _entropy_bonus_enabled=settings.entropy_coef != 0, _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(
            delta=settings.delta, steps_per_generation=1, use_bias_correction_kl=settings.unbiased_kl,
            sapo_temperature_pos=sapo_positive, sapo_temperature_neg=sapo_negative,
            vespo_k_pos=settings.vespo[0], vespo_lambda_pos=settings.vespo[1],
            vespo_k_neg=settings.vespo[2], vespo_lambda_neg=settings.vespo[3],
        ),
        get_gamma_weights=GRPOTrainer.get_gamma_weights, max_completion_length=LONGEST,
    )  # fmt: skip
    ids = torch.zeros_like(batch["mask"])
    inputs = {
        "prompt_ids": ids, "prompt_mask": torch.ones_like(ids), "completion_ids": ids,
        "completion_mask": batch["mask"], "advantages": batch["advantages"],
        "old_per_token_logps": batch["old_logprobs"], "ref_per_token_logps": batch["reference_logprobs"],
        "importance_sampling_ratio": batch["sampler_ratio"], "num_items_in_batch": torch.tensor(items),
    }  # fmt: skip
    return GRPOTrainer._compute_loss(stand_in, None, inputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("loss_type", "settings"),
    [
        ("dapo", LossSettings("grpo", 0.2, 0.28)),
        ("dapo", LossSettings("grpo", 0.2, 0.2, delta=1.5, beta=0.04)),
        ("dapo", LossSettings("grpo", 0.2, 0.2, beta=0.04, unbiased_kl=False, ratio_level="sequence")),
        ("dapo", LossSettings("grpo", 0.2, 0.2, entropy_coef=0.01)),
        ("bnpo", LossSettings("grpo", 0.2, 0.28, beta=0.04, entropy_coef=0.01)),
        ("dr_grpo", LossSettings("grpo", 0.2, 0.28, beta=0.04, entropy_coef=0.01)),
        ("luspo", LossSettings("grpo", 0.2, 0.28, ratio_level="sequence")),
        ("luspo", LossSettings("grpo", 0.2, 0.28, ratio_level="sequence", beta=0.04, entropy_coef=0.01)),
        ("cispo", LossSettings("cispo", 0.2, 1.2)),
        ("cispo", LossSettings("cispo", 0.2, 1.2, beta=0.04, entropy_coef=0.01)),
        ("grpo", LossSettings("grpo", 0.2, 0.28, beta=0.04)),
        ("grpo", LossSettings("grpo", 0.2, 0.28, entropy_coef=0.01)),
        ("sapo", LossSettings("sapo")),
        ("sapo", LossSettings("sapo", beta=0.04, entropy_coef=0.01)),
        ("vespo", LossSettings("vespo")),
        ("vespo", LossSettings("vespo", beta=0.04, entropy_coef=0.01, vespo=(1.0, 2.0, 4.0, 1.5))),
    ],
)
def test_equals_trl_where_trls_mean_is_exact(loss_type: str, settings: LossSettings) -> None:
    # Seven trajectories of one turn each, in one micro-batch on one process.
    batch = random_batch()
    batch["logprobs"].requires_grad_()
    mask = batch["mask"]
    batch["sampler_ratio"] = torch.where(mask > 0, torch.rand(7, 5, dtype=torch.float64) + 0.5, 1.0)
    lengths = mask.sum(1).tolist()
    objective, mean = TRL_LOSS_TYPES[loss_type]
    assert settings.objective == objective
    weights = turn_weights([(length,) for length in lengths], range(7), [True] * 7, mean, LONGEST)
    batch["weights"] = torch.tensor(weights, dtype=torch.float64)[:, 0]
    if mean != "token":  # as `credit.assign_credit` has it
        batch["entropy_weights"] = torch.full((7,), 1.0 / sum(lengths), dtype=torch.float64)

    ours = policy_loss(**batch, settings=settings).loss
    theirs = trl_loss(batch, settings, loss_type, items=float(sum(lengths)))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    (our_gradient,) = torch.autograd.grad(ours, batch["logprobs"], retain_graph=True)
    (their_gradient,) = torch.autograd.grad(theirs, batch["logprobs"])
    assert our_gradient.abs().max() > 0
    assert torch.allclose(our_gradient, their_gradient, rtol=1e-6, atol=1e-9)


def test_every_loss_type_of_trl_has_an_equivalent() -> None:
    from dataclasses import fields

    from trl import GRPOConfig

    told = next(item for item in fields(GRPOConfig) if item.name == "loss_type").metadata["help"]
    assert set(re.findall(r"'(\w+)'", told)) - {"sequence"} == set(TRL_LOSS_TYPES)


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ConfigError, match="'ppo'"):
        policy_loss(**random_batch(), settings=LossSettings("ppo"))
