"""`Skill0Trainer`: TRL's `GRPOTrainer` trained on whole episodes, while a curriculum withdraws the skills.

SKILL0 (arXiv 2604.02268), algorithm 1. A training step, and where its parts are:

    a curriculum round, if one is due     rounds.update_curriculum   skill0.curriculum, skill0.evaluation
    episodes, rewards, advantages         rounds.make_round          episodes.py, rewards.py, credit.py
    skill-arm turns in the plain view     plain_view.py              internalization.py
    old and reference log-probabilities   scoring.py
    loss over micro-batches of turns      `compute_loss` below       loss.py, turn_batching.py

Used of TRL: the sampler's layout of rows, log-probabilities by the fused LM head, the reference policy,
vLLM, logging, model preparation. Replaced: generation and buffering (here one dataset row is a whole
trajectory, with a fresh image at every turn), the loss (see loss.py), and checkpoints (see checkpoints.py).
docs/trainer.md tells what the paper, TRL and the published code do, what we do, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from trl.trainer.grpo_trainer import GRPOTrainer

from skill0.agent import AgentLoop
from skill0.context import ContextRenderer
from skill0.envs import EnvPool
from skill0.errors import ConfigError
from skill0.evaluation import Ranks, evaluate
from skill0.policy.encoding import PromptEncoder
from skill0.skills import group_by_relevance, skills_in_context
from skill0.training import (
    nonfinite,
    persistence,
    preparation,
    processes,
    rounds,
    trained_model,
    trl_internals,
)
from skill0.training.callbacks import BetweenRounds, MetricsWriter, RestorePhase
from skill0.training.config import Skill0Config
from skill0.training.guards import Guards, guard_settings
from skill0.training.internalization import internalization_loss, share
from skill0.training.loss import STATISTICS, policy_loss
from skill0.training.metrics import evaluation_metrics
from skill0.training.nonfinite import Computed
from skill0.training.pairing import PairsSoFar
from skill0.training.preparation import TaskSampler
from skill0.training.replay import Round
from skill0.training.rollout import (
    RolloutLoop,
    TrainerPolicy,
    VllmPolicy,
    derived_seed,
    without_vision_tokens,
)
from skill0.training.sampling_probe import SamplingProbe
from skill0.training.stopping import StopOnSignal
from skill0.training.turn_buffer import TrainingTurn, collate_training_turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback

    from skill0.context import PromptTemplate
    from skill0.curriculum import Curriculum
    from skill0.envs import Task, TextEnv
    from skill0.policy import ImageTextProcessor
    from skill0.skills import Grouping, SkillBank, SkillFile
    from skill0.training.checkpoints import Skill0State

Window = list[list[TrainingTurn]]
"""What one `training_step` trains on: micro-batches of turns."""


def equation_4(*_: Any, **__: Any) -> list[float | None]:
    """Stands for the reward where TRL asks for a function; whole episodes are rewarded in rewards.py."""
    raise RuntimeError("TRL asked for the reward of single completions; please report how you got here")


class Skill0Trainer(GRPOTrainer):
    """Trainer for SKILL0: reinforcement learning with skills in context that are withdrawn on the way.

    Args:
        model (`str` or `PreTrainedModel`):
            A Qwen2.5-VL model, or the name or folder of one.
        args ([`Skill0Config`], *optional*):
            All settings.
        env (`str` or `Callable[[], TextEnv]`):
            `"alfworld"`, `"search"` (the world of facts), or a function that makes one environment. With
            `env_workers` it must be picklable.
        tasks (sequence of `Task`, *optional*):
            What to train on. For `"alfworld"` it defaults to the train split in `$ALFWORLD_DATA`, for
            `"search"` to questions of the world of facts.
        skills (`str`, `Path` or `SkillBank`, *optional*):
            The skill bank. Without one, this is GRPO on episodes.
        grouping (`Grouping`, *optional*):
            Which file serves which task type; by default from `group_by_relevance`.
        curriculum (`Curriculum`, *optional*):
            By default made from `args`. Not used without skills.
        validation_tasks (sequence of `Task`, *optional*):
            What helpfulness is measured on. By default `args.num_validation_tasks` are taken out of `tasks`.
        eval_tasks (sequence of `Task`, *optional*):
            What `evaluate` plays.
        template (`PromptTemplate`, *optional*):
            A prompt template of one's own, instead of the one named in `args`.
        processing_class (`ImageTextProcessor`, *optional*):
            By default loaded from where the model came from.
        peft_config, callbacks, optimizers:
            As in TRL's `GRPOTrainer`.

    Raises:
        ConfigError: settings, tasks or curriculum contradict each other, or there are no tasks.
        SkillError, GroupingError: the bank cannot be read, or leaves a task type unserved.
        PolicyError: the model cannot be shown images, or has no processor.

    Warns where steps would be rounded away (weights of 16 bits), or dropout be taken for learning.
    """

    args: Skill0Config

    def __init__(
        self,
        model: str | PreTrainedModel,
        args: Skill0Config | None = None,
        env: str | Callable[[], TextEnv] | None = None,
        tasks: Sequence[Task] | None = None,
        skills: str | Path | SkillBank | None = None,
        *,
        grouping: Grouping | None = None,
        curriculum: Curriculum | None = None,
        validation_tasks: Sequence[Task] | None = None,
        eval_tasks: Sequence[Task] = (),
        template: PromptTemplate | None = None,
        processing_class: ImageTextProcessor | None = None,
        peft_config: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        trl_internals.check_versions()
        args = Skill0Config("skill0-output") if args is None else args
        processes.check_launch(args)
        self.make_env = preparation.resolve_env(env, args)
        self.bank = preparation.resolve_skills(skills)
        preparation.check_curriculum_settings(args, curriculum, self.bank)
        self.tasks, self.validation_tasks = preparation.split_tasks(
            preparation.resolve_tasks(tasks, env), validation_tasks, args, self.bank, curriculum
        )
        self.eval_tasks = list(eval_tasks)
        preparation.check_rounds_and_evaluations(args, len(self.tasks), len(self.eval_tasks))
        if grouping is None and self.bank is not None:
            grouping = group_by_relevance(self.bank, [*self.tasks, *self.validation_tasks, *self.eval_tasks])
        self.grouping = grouping
        self.agent_settings = preparation.agent_settings(args, template)
        model, processing_class = trained_model.resolve_policy(model, processing_class, args, peft_config)
        self.encoder = PromptEncoder(processing_class, args.page_pixels)
        if args.use_vllm:
            args.generation_kwargs = without_vision_tokens(
                args.generation_kwargs, self.encoder.vision_token_ids
            )
        with trl_internals.old_names(), processes.sharding_on_cpu(), trained_model.as_loaded(args):
            super().__init__(
                model=model,
                reward_funcs=[equation_4],
                args=args,
                train_dataset=_rows(self.tasks),
                eval_dataset=_rows(self.eval_tasks) if self.eval_tasks else None,
                processing_class=processing_class,
                peft_config=peft_config,
                callbacks=callbacks,
                optimizers=optimizers,
            )
        trained_model.check_wrapped(self)
        self.loss_settings = args.loss_settings()
        self.internalization = args.internalization_settings()
        self.reward_settings = args.reward_settings()
        self.renderer = ContextRenderer()
        self.padding_turn = rounds.padding_turn(self.encoder, self.agent_settings, self.renderer)
        self._start_empty()
        if curriculum is None and self.bank is not None:
            *_, total_steps = self.set_initial_training_values(args, self.get_train_dataloader())
            curriculum = preparation.make_curriculum(args, self.bank, total_steps)
        self.curriculum = curriculum
        self.stop_on_signal = StopOnSignal(self, self.windows_per_round)
        self._add_callbacks()

    def _start_empty(self) -> None:
        """What a run collects, before it has begun."""
        self.resumed: Skill0State | None = None
        self.helpfulness: dict[str, float] = {}
        self.helpfulness_paired: dict[str, float] = {}
        self.pairs = PairsSoFar()
        self.remembered: tuple[Round, ...] = ()
        self.loss_sums = torch.zeros(len(STATISTICS), dtype=torch.float64)
        self.internalization_sum = torch.zeros(1, dtype=torch.float64)
        self.seconds = {"learning": 0.0, "round": 0.0}
        self.computed: list[Computed] = []
        self._pool: EnvPool | None = None
        self._loop: AgentLoop | None = None
        self._staging: Path | None = None

    def _add_callbacks(self) -> None:
        args = self.args
        self.add_callback(RestorePhase(self))
        self.add_callback(BetweenRounds(self, self.windows_per_round))
        self.add_callback(self.stop_on_signal)
        self.add_callback(MetricsWriter(args.run_folder))
        if args.guards != "off":
            self.add_callback(Guards(self, args.guards, guard_settings(args.guard_settings)))
        if args.sampling_probe != "off":
            self.add_callback(SamplingProbe(self, args.sampling_probe))

    # ------------------------------------------------------------------ what rollouts need

    @property
    def windows_per_round(self) -> int:
        """Calls of `training_step` that one round of rollouts serves."""
        return self.args.round_windows * self.num_iterations

    @property
    def steps_per_round(self) -> int:
        """Optimizer steps that one round of rollouts serves; 1 where a step takes a round or more."""
        return max(1, self.windows_per_round // self.args.gradient_accumulation_steps)

    @property
    def loop(self) -> AgentLoop:
        """The agent loop over this model and this process's environments, which are started when needed."""
        if self._loop is None:
            self._pool = EnvPool(
                self.make_env, workers=self.args.env_workers, timeout_s=self.args.env_timeout
            )
            transformers = TrainerPolicy(self, self.args.generation_batch_limit)
            policy = VllmPolicy(self, self.encoder) if self.use_vllm else transformers
            self._loop = RolloutLoop(policy, self._pool, self.agent_settings, self.renderer)
        return self._loop

    @property
    def ranks(self) -> Ranks:
        """How evaluations are spread over the processes of this run."""
        return Ranks(
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            gather=lambda part: gather_object([part]),
            live_across_ranks=self.live_across_ranks,
        )

    @property
    def live_across_ranks(self) -> Callable[[int], int] | None:
        """The largest number of live episodes on any process, where generate calls must be equally many."""
        if self.accelerator.num_processes == 1 or not trl_internals.generates_together(self):
            return None
        return lambda count: max(gather_object([count]))

    def skills_for(self, task: Task) -> tuple[SkillFile, ...]:
        """The skill files that a training episode of this task is shown now."""
        if self.bank is None or self.grouping is None or self.curriculum is None:
            return ()
        active, scope = self.curriculum.active, self.args.skill_scope
        return skills_in_context(self.bank, self.grouping, active, task.task_type, scope)  # type: ignore[arg-type]

    def all_skills_for(self, task: Task) -> tuple[SkillFile, ...]:
        """The skill files that this task is shown while none is withdrawn."""
        if self.bank is None or self.grouping is None:
            return ()
        scope = self.args.skill_scope
        return skills_in_context(self.bank, self.grouping, self.bank.names, task.task_type, scope)  # type: ignore[arg-type]

    def record(self, name: str, value: float) -> None:
        """Log a figure with the next row of training metrics (averaged over the steps since the last)."""
        trl_internals.record(self, "train", {name: value})

    def close(self) -> None:
        """End the environment processes. They are started again when an episode is played."""
        if self._pool is not None:
            self._pool.close()
        self._pool = self._loop = None

    # ------------------------------------------------------------------ training

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:
        """Train, from the beginning or from a checkpoint of this trainer (`True`: the newest).

        Raises:
            CheckpointError: there is no such checkpoint, it is damaged, or it belongs to another run.
            ConfigError: the run folder holds checkpoints of another run, which could be resumed by mistake.
            NonFiniteError: a loss or gradient is not finite; its turns have been written to the run folder.
            TrainingStopped: SIGTERM came; there is a checkpoint of the end of the round.
        """
        checkpoint = persistence.checkpoint_to_resume(self.args.run_folder, resume_from_checkpoint)
        self.resumed = None if checkpoint is None else persistence.resume(self, checkpoint)
        step = 0 if self.resumed is None else self.resumed.global_step
        persistence.refuse_other_runs(self.args.run_folder, checkpoint, step)
        if checkpoint is not None:
            trl_internals.weights_replaced(self)
        self.computed = []
        was_closed = self._loop is None
        path = None if checkpoint is None else str(checkpoint)
        try:
            with self.stop_on_signal.listening():
                return super().train(path, trial, ignore_keys_for_eval)
        finally:
            if was_closed:
                self.close()

    def set_initial_training_values(self, args: Any, dataloader: Any) -> Any:
        """As in `Trainer`, but a run that had reached its last step when it was saved trains no further:
        `Trainer` looks only after a step whether it was the last."""
        epochs, *others, max_steps = super().set_initial_training_values(args, dataloader)
        finished = self.resumed is not None and self.resumed.global_step >= max_steps
        return (0 if finished else epochs, *others, max_steps)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """The next window. At the beginning of a round, all its windows are made first."""
        done = trl_internals.windows_done(self)
        if done % self.windows_per_round == 0 or self._buffered_inputs is None:
            start = time.perf_counter()
            self._buffered_inputs = rounds.make_round(self, generation_batch)
            self.seconds["round"] += time.perf_counter() - start
        return self._buffered_inputs[done % self.args.round_windows]

    def compute_loss(
        self, model: Any, inputs: Window, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of a window. All micro-batches but the last are propagated back here, one by one; the
        caller does so with the last, whose gradients are then exchanged between processes.

        Weights of a round sum to 1 over all its windows and processes. A window is `1/steps_per_generation`
        of a round, an optimizer step sums `gradient_accumulation_steps` windows, and gradients are averaged
        over processes: hence the factor.
        """
        if return_outputs:
            raise ValueError("Skill0Trainer does not return model outputs with the loss")
        factor = self.args.round_windows / self.current_gradient_accumulation_steps
        factor *= self.accelerator.num_processes
        total = torch.zeros((), device=self.accelerator.device)
        computed_before = len(self.computed)
        for micro_batch in inputs[:-1]:
            with trl_internals.without_gradient_exchange(self, model):
                loss = self._micro_batch_loss(model, micro_batch) * factor
                trl_internals.backward_inside_window(self, loss)
            total += loss.detach()
        loss = self._micro_batch_loss(model, inputs[-1]) * factor + total
        nonfinite.check_loss(self, loss, self.computed[computed_before:])
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        nonfinite.check_gradient(self, norm, self.computed)
        self.computed = []  # the next optimizer step begins
        return norm

    def collate(self, items: Sequence[TrainingTurn]) -> dict[str, Any]:
        """The tensors of a micro-batch but for its images, on this process's device."""
        return collate_training_turns(
            items,
            pad_token_id=self.encoder.pad_token_id,
            image_token_id=self.encoder.image_token_id,
            device=self.accelerator.device,
        )

    def _micro_batch_loss(self, model: Any, items: Sequence[TrainingTurn]) -> torch.Tensor:
        """Policy loss of the turns that were sampled as they stand here, and internalization loss of those
        that were sampled with skills and stand here without."""
        batch = self.collate(items)
        logprobs, entropies = trl_internals.token_logprobs(self, model, batch, entropies=True)
        assert entropies is not None
        parts = policy_loss(
            logprobs,
            entropies,
            batch["loss_mask"],
            batch["advantages"],
            batch["weights"],
            self.loss_settings,
            old_logprobs=batch.get("old_logprobs"),
            reference_logprobs=batch.get("reference_logprobs"),
            sampler_ratio=batch.get("sampler_ratio"),
            entropy_weights=batch.get("entropy_weights"),
        )
        self.loss_sums += parts.sums.to(self.loss_sums)
        loss = self.args.policy_weight * parts.loss
        if "imitation" in batch:
            loss = loss + self._internalization(logprobs, batch)
        self.computed.append(Computed(items, loss.detach(), logprobs.detach()))
        return loss

    def _internalization(self, logprobs: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        """The internalization loss of a micro-batch, at its factor of this step."""
        internalization = internalization_loss(logprobs, batch["imitated"], batch["imitation"])
        self.internalization_sum += internalization.detach().to(self.internalization_sum)
        return share(self.state.global_step, self.internalization) * internalization

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        start, rounds_before = time.perf_counter(), self.seconds["round"]
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.seconds["learning"] += time.perf_counter() - start - (self.seconds["round"] - rounds_before)
        if self.accelerator.sync_gradients:
            rounds.record_learning(self)
        return loss

    # ------------------------------------------------------------------ evaluation

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Plays `eval_tasks` once without skills and once with the whole bank, and logs the success rates.

        `{prefix}_success_without_skills` is the figure to choose the best checkpoint by.
        """
        if not self.eval_tasks:
            raise ConfigError("there are no eval_tasks to evaluate; give them to the trainer")
        arms = {"without_skills": lambda task: (), "with_skills": self.all_skills_for}
        trl_internals.bare_model(self).eval()
        report = evaluate(
            self.loop,
            self.eval_tasks,
            arms if self.bank is not None else {"without_skills": arms["without_skills"]},
            sampling=self.args.validation_sampling(),
            seed=derived_seed(self.args.seed, metric_key_prefix),
            batch_size=self.args.generation_batch_limit,
            progress=not self.args.disable_tqdm,
            ranks=self.ranks,
        )
        metrics = evaluation_metrics(report, metric_key_prefix)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # ------------------------------------------------------------------ checkpoints and sampler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        def write(staging: Path) -> None:
            self._staging = staging
            try:
                GRPOTrainer._save_checkpoint(self, model, trial)
            finally:
                self._staging = None

        persistence.save(self, Path(super()._get_output_dir(trial)), write)

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._staging is None else str(self._staging)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if trl_internals.whole_weights(self):
            persistence.load_weights(
                self.accelerator.unwrap_model(model or self.model), resume_from_checkpoint
            )
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        persistence.load_reference(self, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is not None and trl_internals.whole_weights(self):
            persistence.load_weights(self.accelerator.unwrap_model(self.model), best)
        else:
            super()._load_best_model()
        trl_internals.weights_replaced(self)

    def _get_train_sampler(self, dataset: Any = None) -> TaskSampler:
        return TaskSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.args.group_size,
            batch_size=self.args.round_size // self.args.group_size,
            repeat_count=self.windows_per_round,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )


def _rows(tasks: Sequence[Task]) -> Dataset:
    """Tasks as the dataset TRL asks for: a row is a task's number."""
    return Dataset.from_dict({"prompt": [""] * len(tasks), "task": list(range(len(tasks)))})
