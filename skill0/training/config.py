"""All settings of a training run: TRL's `GRPOConfig` plus what SKILL0 (arXiv 2604.02268) adds.

Left out on purpose: the estimator variants of TRL that assume one completion per dataset row (see
`config_checks.UNSUPPORTED`); each is refused by name rather than ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trl.trainer.grpo_config import GRPOConfig

from skill0.training.config_checks import check_settings, refuse_unsupported
from skill0.training.credit import EstimatorSettings
from skill0.training.internalization import InternalizationSettings
from skill0.training.loss import LossSettings
from skill0.training.rewards import RewardSettings

if TYPE_CHECKING:
    from skill0.agent import AgentSettings
    from skill0.agent.policy import Sampling


@dataclass
class Skill0Config(GRPOConfig):
    r"""
    Configuration class for the [`Skill0Trainer`].

    Lists only what differs from [`~trl.GRPOConfig`]. `per_device_train_batch_size` counts *trajectories*:
    `num_generations` trajectories of one task form a group.

    Parameters:
        > Parameters that control the agent

        max_turns (`int`, *optional*, defaults to `50`):
            Turns after which an episode ends as a failure (the environment may end it before).
        history_length (`int`, *optional*, defaults to `50`):
            How many of the last turns the prompt shows.
        skills_in (`str`, *optional*, defaults to `"image"`):
            Where skill files are shown: `"image"`, `"text"` or `"none"`.
        history_in (`str`, *optional*, defaults to `"image"`):
            Where the turns so far are shown: `"image"`, `"text"` or `"none"`.
        skill_form (`str`, *optional*, defaults to `"full"`):
            `"full"` shows a skill's sentences, `"brief"` its one-line form.
        skill_scope (`str`, *optional*, defaults to `"relevant"`):
            `"relevant"` shows a task the active files that serve its task type, `"all"` all active files.
        template (`str`, *optional*, defaults to `"alfworld"`):
            Name of the prompt template.
        require_think (`bool`, *optional*, defaults to `True`):
            Whether a reply without reasoning is invalid.
        page_cell (`str`, *optional*, defaults to `"6x12"`):
            Size of a character on the page, in pixels.
        page_width (`int`, *optional*, defaults to `392`):
            Width of the page in pixels, a multiple of 28.
        page_leading (`int`, *optional*, defaults to `0`):
            White space below each text row, in pixels.
        page_max_visual_tokens (`int`, *optional*):
            Largest page; older history is dropped to stay within it.
        page_joiner (`str`, *optional*):
            Stands for new lines in and between turns of the history, such as `" | "`: fewer rows.
        page_compression (`str`, *optional*, defaults to `"atlas"`):
            A compression factor chooses a smaller cell; with `"resize"` it shrinks the image, as published.
        page_pixels (`str`, *optional*, defaults to `"glyphs"`):
            Pixel values are made from a page's glyphs, or, bit-equal and slower, by the image `"processor"`.

        > Parameters that control the reward

        success_reward (`float`, *optional*, defaults to `10.0`):
            Reward of a successful episode, 0 otherwise. 10 is the published code's for ALFWorld and WebShop;
            use 1 for Search-QA.
        invalid_action_penalty (`float`, *optional*, defaults to `0.1`):
            Taken from the reward for each invalid reply (published code: 0.1 in ALFWorld, 0.01 in Search-QA).
        compression_weight (`float`, *optional*, defaults to `0.01`):
            Lambda of equation 4. `0` switches the compression term off.
        compression_interval (`int`, *optional*, defaults to `8`):
            The compression term is paid at every so many training steps; `1` is equation 4 as printed.

        > Parameters that control the curriculum

        num_stages (`int`, *optional*):
            Number of stages. Defaults to 3, or to the length of `budgets`.
        curriculum_interval (`int`, *optional*, defaults to `10`):
            Training steps between two validations.
        budgets (`list[int]`, *optional*):
            Files allowed at each stage. Defaults to equation 6.
        helpfulness_filter (`str`, *optional*, defaults to `"positive"`):
            Which files may stay: `"positive"` (helpfulness above 0), `"nonnegative"` or `"none"` (all).
        helpfulness_rank (`str`, *optional*, defaults to `"helpfulness"`):
            What order the budget cuts: `"helpfulness"`, `"random"` or `"none"` (the bank's order).
        helpfulness_form (`str`, *optional*, defaults to `"set"`):
            `"set"`: active set against none (main text and published code). `"marginal"`: active set
            against the active set less the file (equation 15).
        always_keep (`list[str]`, *optional*):
            Files that are neither filtered nor ranked while the budget is above 0.
        helpfulness_from (`str`, *optional*, defaults to `"validation"`):
            What the curriculum decides by: `"validation"` episodes (the paper), or the `"paired"` groups of
            the rounds since its last decision, which cost no extra episode. `"both"` decides by validation
            and logs how the other compares. See docs/internalization.md.
        selection_confidence (`float`, *optional*):
            Posterior probability that a file helps (or does not) that a decision asks for; without it, the
            point estimate decides, as in the paper. See docs/curriculum.md.
        num_validation_tasks (`int`, *optional*, defaults to `128`):
            Tasks held out of the training tasks to measure helpfulness with, spread over the task types.
            Not used when the trainer is given `validation_tasks`, or when helpfulness is not needed.
        validation_temperature (`float`, *optional*, defaults to `0.4`):
            Sampling temperature of validation and evaluation episodes; `0` is greedy.

        > Parameters that control paired groups and the internalization loss (docs/internalization.md)

        paired_fraction (`float`, *optional*, defaults to `0.0`):
            Share of the groups that play half of their members with the active skills and half without.
        arm_advantages (`str`, *optional*, defaults to `"arm"`):
            Group statistics of a paired group: of each `"arm"`, pooled over the `"group"`, or both with
            SKILLC's correction (`"contrast"`, see docs/estimators.md).
        policy_weight (`float`, *optional*, defaults to `1.0`):
            Factor of the policy loss. `0` leaves the internalization loss alone: an ablation.
        internalization_weight (`float`, *optional*, defaults to `0.0`):
            Lambda_max: the factor of the internalization loss. `0` switches it off.
        internalization_start (`int`, *optional*, defaults to `0`):
            Optimizer step k0 at which the factor begins to rise from 0.
        internalization_warmup_steps (`int`, *optional*, defaults to `1`):
            Optimizer steps K that it takes to reach `internalization_weight`.
        internalization_clip (`float`, *optional*, defaults to `1.0`):
            Largest weight c of a turn.
        internalization_weighting (`str`, *optional*, defaults to `"advantage"`):
            What weighs a turn: its `"advantage"` (SIRI), its group's `"effect"`, or nothing (`"uniform"`).
            A skill arm that always wins has no advantages, so `"advantage"` then learns nothing from it.
        internalization_tokens (`str`, *optional*, defaults to `"action"`):
            What is imitated: the `"action"` (SIRI), or the whole `"reply"`, thought included.
        internalization_mean (`str`, *optional*, defaults to `"open"`):
            What the loss is a mean over: tokens whose gate is `"open"`, or all such tokens of the `"round"`.
            Under `"open"` a single group that won by luck moves the policy as much as a whole round does.
        internalization_replay (`int`, *optional*, defaults to `0`):
            Earlier rounds whose imitated turns are imitated again with each round, drawn anew for each: the
            loss is the mean over these rounds and the newest. Costs a forward and a backward pass of those
            turns, and no episodes.
        internalization_memory (`int`, *optional*, defaults to `64`):
            Rounds that replay draws from: the newest in which some turn was imitated.

        > Parameters that control the estimator

        group_statistics (`str`, *optional*, defaults to `"trajectory"`):
            What the group's mean and standard deviation are taken over: `"trajectory"` (the paper) or `"row"`
            (turns, as in the published code; long trajectories then weigh more).
        group_baseline (`str`, *optional*, defaults to `"mean"`):
            What is taken off a reward: the `"mean"` of its group, or the mean of the other trajectories
            (`"leave_one_out"`; with `scale_rewards="none"` that is RLOO).
        advantage_estimator (`str`, *optional*, defaults to `"grpo"`):
            `"grpo"` (equation 5), or `"gigpo"`, which adds credit for single steps taken in one state.
            `scale_rewards` is the normalisation of both levels. See docs/estimators.md.
        gigpo_step_weight (`float`, *optional*, defaults to `1.0`):
            Omega: the weight of the step-level advantage.
        gigpo_discount (`float`, *optional*, defaults to `0.95`):
            Gamma of the returns that steps are compared by.
        gigpo_anchor (`str`, *optional*, defaults to `"observation"`):
            What makes a state: the `"observation"`, or with `"admissible"` the admissible actions, too. Never
            skill text.
        gigpo_similarity (`float`, *optional*, defaults to `1.0`):
            Least ratio (difflib) at which two anchors are one state; `1.0` asks for equal ones.
        contrast_weight (`float`, *optional*, defaults to `1.0`):
            Lambda of SKILLC's correction. Used with `arm_advantages="contrast"` only.
        contrast_pooled_share (`float`, *optional*, defaults to `0.4`):
            Weight w of the advantages pooled over both arms; `1 - w` is that of each arm's own.
        dynamic_sampling (`int`, *optional*, defaults to `0`):
            Most times that a round's groups without an advantage are replaced by groups of other tasks
            (DAPO). Costs up to as many further rounds of episodes. `0` switches it off.
        loss_mean (`str`, *optional*, defaults to `"trajectory"`):
            `"trajectory"`: mean over a trajectory's tokens, then over trajectories (equation 5). `"token"`:
            mean over all tokens. `"row"`: over a turn's tokens, then over turns. `"row_sum"`: sum over a
            turn's tokens, mean over turns. `"constant"`: as `"row_sum"`, divided by `max_completion_length`.
        loss_type (`str`, *optional*, defaults to `"grpo"`):
            Objective of one token: `"grpo"` (clipped ratio), `"cispo"`, `"sapo"` or `"vespo"`. Means are
            chosen by `loss_mean`; TRL's `"dapo"` is `loss_type="grpo", loss_mean="token"`, and
            docs/estimators.md has all others.

        > Parameters that control the execution

        turn_micro_batch_size (`int`, *optional*, defaults to `8`):
            Turns in one forward and backward pass. Changes memory and speed, never the gradient.
        generation_batch_limit (`int`, *optional*, defaults to `128`):
            Most prompts in one generate call.
        env_workers (`int`, *optional*, defaults to `4`):
            Environment processes of each rank; `0` runs environments in the training process.
        env_timeout (`float`, *optional*):
            Seconds after which a hanging environment call becomes an infrastructure failure. When not given
            60, or more where a call may take longer and be well: search servers are waited for.
        activation_checkpointing (`bool`, *optional*, defaults to `True`):
            What TRL calls `gradient_checkpointing`, a name that transformers has given up. `False` is faster
            where memory allows.
        check_sampling (`bool`, *optional*, defaults to `False`):
            Score every sampled token again with the trainer and log how far both differ. Costs a forward
            pass over the whole batch.
        sampling_probe (`str`, *optional*, defaults to `"start"`):
            When a probe turn is sampled and scored, to see that sampler and trainer agree: at the `"start"`
            of training, also after every weight synchronisation (`"sync"`, for debugging), or never
            (`"off"`).
        sampling_tolerance (`float`, *optional*):
            Largest mean difference of log-probabilities, in nats per token, that a probe lets pass. Defaults
            to 0.001 where both compute in float32 with transformers, else to 0.1.
        guards (`str`, *optional*, defaults to `"warn"`):
            What happens when logged figures show a run going wrong: `"warn"`, `"stop"` or nothing (`"off"`).
            See docs/guards.md.
        guard_settings (`dict[str, float]`, *optional*):
            Bounds of the guards that differ from those of [`~skill0.training.guards.GuardSettings`].
        ddp_timeout (`int`, *optional*, defaults to `14400`):
            Seconds that processes wait for each other before all give up. They wait while one warms a policy
            up, and for the process whose episodes take longest.
    """

    max_turns: int = 50
    history_length: int = 50
    skills_in: str = "image"
    history_in: str = "image"
    skill_form: str = "full"
    skill_scope: str = "relevant"
    template: str = "alfworld"
    require_think: bool = True
    page_cell: str = "6x12"
    page_width: int = 392
    page_leading: int = 0
    page_max_visual_tokens: int | None = None
    page_joiner: str | None = None
    page_compression: str = "atlas"
    page_pixels: str = "glyphs"

    success_reward: float = 10.0
    invalid_action_penalty: float = 0.1
    compression_weight: float = 0.01
    compression_interval: int = 8

    num_stages: int | None = None
    curriculum_interval: int = 10
    budgets: list[int] | None = None
    helpfulness_filter: str = "positive"
    helpfulness_rank: str = "helpfulness"
    helpfulness_form: str = "set"
    always_keep: list[str] = field(default_factory=list)
    helpfulness_from: str = "validation"
    selection_confidence: float | None = None
    num_validation_tasks: int = 128
    validation_temperature: float = 0.4

    paired_fraction: float = 0.0
    arm_advantages: str = "arm"
    policy_weight: float = 1.0
    internalization_weight: float = 0.0
    internalization_start: int = 0
    internalization_warmup_steps: int = 1
    internalization_clip: float = 1.0
    internalization_weighting: str = "advantage"
    internalization_tokens: str = "action"
    internalization_mean: str = "open"
    internalization_replay: int = 0
    internalization_memory: int = 64

    group_statistics: str = "trajectory"
    group_baseline: str = "mean"
    advantage_estimator: str = "grpo"
    gigpo_step_weight: float = 1.0
    gigpo_discount: float = 0.95
    gigpo_anchor: str = "observation"
    gigpo_similarity: float = 1.0
    contrast_weight: float = 1.0
    contrast_pooled_share: float = 0.4
    dynamic_sampling: int = 0
    loss_mean: str = "trajectory"
    loss_type: str = "grpo"

    turn_micro_batch_size: int = 8
    generation_batch_limit: int = 128
    env_workers: int = 4
    env_timeout: float | None = None
    check_sampling: bool = False
    sampling_probe: str = "start"
    sampling_tolerance: float | None = None
    guards: str = "warn"
    guard_settings: dict[str, float] | None = None

    # Defaults of parent classes that differ: one row of the metrics per step, and nothing to pin (a row of
    # the dataset is a task's number).
    logging_steps: float = 1
    dataloader_pin_memory: bool = False
    # TRL's default is True under the old name, which transformers warns about; see `__post_init__`.
    gradient_checkpointing: bool | None = None
    num_generations_eval: int | None = 1
    ddp_timeout: int = 14_400

    def __post_init__(self) -> None:
        import torch

        if self.bf16 is None and not self.fp16 and not torch.cuda.is_available():
            self.bf16 = False  # TRL's default of True is for GPUs
        if self.activation_checkpointing is None:
            old = self.gradient_checkpointing
            self.activation_checkpointing = True if old is None else old
        refuse_unsupported(self)
        super().__post_init__()
        check_settings(self)
        # Each of these checks its own part.
        self.agent_settings()
        self.reward_settings()
        self.estimator_settings()
        self.internalization_settings()

    def agent_settings(self) -> AgentSettings:
        """The part of the settings that the agent loop needs."""
        from skill0.agent import AgentSettings
        from skill0.context import PageStyle

        return AgentSettings(
            template=self.template,
            style=PageStyle(
                self.page_cell,
                self.page_width,
                self.page_leading,
                self.page_max_visual_tokens,
                self.page_joiner,
                self.page_compression,
            ),
            skills_in=self.skills_in,
            history_in=self.history_in,
            skill_form=self.skill_form,
            max_steps=self.max_turns,
            history_length=self.history_length,
            invalid_action_penalty=self.invalid_action_penalty,
            require_think=self.require_think,
        )

    def reward_settings(self) -> RewardSettings:
        return RewardSettings(self.success_reward, self.compression_weight, self.compression_interval)

    def estimator_settings(self) -> EstimatorSettings:
        return EstimatorSettings(
            estimator=self.advantage_estimator,
            statistics=self.group_statistics,
            baseline=self.group_baseline,
            scale=str(self.scale_rewards),
            arms=self.arm_advantages,
            mean=self.loss_mean,
            longest_reply=self.reply_length,
            step_weight=self.gigpo_step_weight,
            discount=self.gigpo_discount,
            anchor=self.gigpo_anchor,
            similarity=self.gigpo_similarity,
            contrast_weight=self.contrast_weight,
            pooled_share=self.contrast_pooled_share,
            success_reward=self.success_reward,
        )

    def loss_settings(self) -> LossSettings:
        return LossSettings(
            objective=self.loss_type,
            epsilon_low=self.epsilon,
            epsilon_high=self.epsilon if self.epsilon_high is None else self.epsilon_high,
            delta=self.delta,
            ratio_level=self.importance_sampling_level,
            beta=self.beta,
            unbiased_kl=self.use_bias_correction_kl,
            entropy_coef=self.entropy_coef,
            sapo_temperatures=(self.sapo_temperature_pos, self.sapo_temperature_neg),
            vespo=(self.vespo_k_pos, self.vespo_lambda_pos, self.vespo_k_neg, self.vespo_lambda_neg),
        )

    def internalization_settings(self) -> InternalizationSettings:
        return InternalizationSettings(
            weight=self.internalization_weight,
            start=self.internalization_start,
            warmup_steps=self.internalization_warmup_steps,
            clip=self.internalization_clip,
            weighting=self.internalization_weighting,
            tokens=self.internalization_tokens,
            mean=self.internalization_mean,
            replay=self.internalization_replay,
            memory=self.internalization_memory,
        )

    def rollout_sampling(self) -> Sampling:
        """How training replies are drawn."""
        from skill0.agent.policy import Sampling

        return Sampling(self.temperature, self.top_p, self.top_k, self.reply_length)

    def validation_sampling(self) -> Sampling:
        """How validation and evaluation replies are drawn."""
        from skill0.agent.policy import Sampling

        return Sampling(self.validation_temperature, 1.0, 0, self.reply_length)

    # The parent leaves these optional; after `__post_init__` they are whole numbers.

    @property
    def reply_length(self) -> int:
        """Most tokens of a reply."""
        return int(self.max_completion_length or 0)

    @property
    def group_size(self) -> int:
        """Trajectories of a group: G of equation 5."""
        return int(self.num_generations or 0)

    @property
    def round_size(self) -> int:
        """Trajectories of one round of rollouts, over all processes."""
        return int(self.generation_batch_size or 0)

    @property
    def groups_per_round(self) -> int:
        return self.round_size // self.group_size

    @property
    def round_windows(self) -> int:
        """Windows that a round's turns are dealt to."""
        return int(self.steps_per_generation or 0)

    @property
    def run_folder(self) -> Path:
        return Path(str(self.output_dir))
