"""Everything private in TRL and in transformers' `Trainer` that skill0 leans on, in one place.

`Skill0Trainer` overrides some private methods of `GRPOTrainer` and reads some private attributes; neither has
any promise of stability. The names are listed here, all reads and calls go through the functions below, and
tests/training/test_trl_internals.py compares the lists with the installed versions. Updating TRL means:
make that test pass, then widen `TESTED`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import torch

from skill0.errors import ConfigError, PolicyError
from skill0.policy.vision import equal_pages
from skill0.training.shared_pass import can_share, shared_logprobs
from skill0.training.turn_batching import image_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from skill0.agent.policy import Sampling

Trainer = Any
"""A `GRPOTrainer`. Typed as anything: what is used of it here is private, so no type checker knows it."""

TESTED = {"trl": "1.16.", "transformers": "5.23.", "accelerate": "1.15."}
"""Package to the version prefix this file was written for and is tested with. Of accelerate, processes.py
writes into the state that its objects share."""

OVERRIDDEN: dict[str, tuple[str, ...]] = {
    "_get_train_sampler": ("self", "dataset"),
    "_get_grad_norm": ("self", "model", "grad_norm"),
    "_get_output_dir": ("self", "trial"),
    "_load_best_model": ("self",),
    "_load_from_checkpoint": ("self", "resume_from_checkpoint", "model"),
    "_prepare_inputs": ("self", "generation_batch"),
    "_save_checkpoint": ("self", "model", "trial"),
    "compute_loss": ("self", "model", "inputs", "return_outputs", "num_items_in_batch"),
    "set_initial_training_values": ("self", "args", "dataloader"),
    "evaluate": ("self", "eval_dataset", "ignore_keys", "metric_key_prefix"),
    "train": ("self", "resume_from_checkpoint", "trial", "ignore_keys_for_eval"),
    "training_step": ("self", "model", "inputs", "num_items_in_batch"),
}
"""Methods of `GRPOTrainer` that `Skill0Trainer` replaces, with the parameters it expects them to have."""

CALLED: dict[str, tuple[str, ...]] = {
    "_get_per_token_logps_and_entropies": (
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy",
        "compute_aux_loss", "pixel_values", "image_grid_thw", "num_images",
    ),
    "_push_from_checkpoint": ("self", "checkpoint_folder"),
}  # fmt: skip
"""Private methods that are called, with the leading parameters relied on."""

ATTRIBUTES = (
    "_buffered_inputs",
    "_dist",
    "_globalstep_last_logged",
    "_last_loaded_step",
    "_logs",
    "_metrics",
    "_step",
    "_tokenizer",
    "_tr_loss",
)
"""Private attributes that are read or set; each must occur in the source of `GRPOTrainer` or `Trainer`."""


def check_versions() -> None:
    """Raises `ConfigError` when one of `TESTED` is not a version these internals were checked against."""
    for package, prefix in TESTED.items():
        installed = version(package)
        if not installed.startswith(prefix):
            raise ConfigError(
                f"{package} {installed} is installed, but Skill0Trainer overrides private parts of "
                f"{package} {prefix}x; install that: pip install '{package}=={prefix}*'"
            )


def token_logprobs(
    trainer: Trainer, model: torch.nn.Module, batch: dict[str, Any], *, entropies: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probabilities of the completion tokens of a collated batch, and their entropies if asked for.

    Both are (turns, completion tokens), of the distribution at the rollout temperature. By TRL, or without
    TRL where turns can share what they have in common.
    """
    turns, image_token_id = batch["turns"], bare_model(trainer).config.image_token_id
    # Under mixed precision the shared pass would go round the casts that accelerate wraps around `forward`.
    exact = trainer.accelerator.mixed_precision == "no"
    if exact and can_share(model, turns, image_token_id):
        logprobs, entropy = shared_logprobs(
            model,
            turns,
            temperature=trainer.temperature,
            pad_token_id=trainer._tokenizer.pad_token_id,
            image_token_id=image_token_id,
            pixels=trainer.encoder.pixels,
        )
        return logprobs, entropy if entropies else None
    images = image_tensors(turns, batch["prompt_ids"].device, trainer.encoder.pixels)
    with equal_pages(model, [turn.page for turn in turns if turn.page is not None]):
        logprobs, entropy, _ = trainer._get_per_token_logps_and_entropies(
            model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].size(1),
            compute_entropy=entropies,
            **images,
            mm_token_type_ids=batch["mm_token_type_ids"],
        )
    return logprobs, entropy


@contextlib.contextmanager
def scoring(trainer: Trainer) -> Iterator[None]:
    """The model in eval mode, without gradients, and without gradient checkpointing, which would warn about
    their absence.

    Replies are drawn without dropout, so their probabilities are those without it. TRL scores in train mode.
    """
    from trl.models.utils import disable_gradient_checkpointing

    kwargs = trainer.args.gradient_checkpointing_kwargs
    model = bare_model(trainer)
    training = model.training
    with old_names(), torch.no_grad(), disable_gradient_checkpointing(model, kwargs):
        model.eval()
        try:
            yield
        finally:
            model.train(training)


def reference_logprobs(trainer: Trainer, batch: dict[str, Any]) -> torch.Tensor:
    """Log-probabilities under the reference policy: TRL's copy, or the model without its adapter."""
    if trainer.ref_model is not None:
        return token_logprobs(trainer, trainer.ref_model, batch)[0]
    from trl.trainer.utils import use_adapter

    model = bare_model(trainer)
    with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
        return token_logprobs(trainer, trainer.model, batch)[0]  # type: ignore[arg-type]


@contextlib.contextmanager
def generation_model(trainer: Trainer) -> Iterator[PreTrainedModel]:
    """The bare model with full parameters (ZeRO-3 gathered, FSDP summoned), without gradients, in the
    precision of training. Autocast keeps the weights it has cast until the block ends."""
    from trl.models.utils import unwrap_model_for_generation

    with (
        old_names(),
        unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model,
        torch.no_grad(),
        trainer.accelerator.autocast(),
        trainer._dist.summon_full_params(trainer.model_wrapped, recurse=False),
    ):
        yield cast("PreTrainedModel", model)


def vllm_generate(
    trainer: Trainer,
    prompt_ids: list[list[int]],
    images: list[list[Any] | None] | None,
    sampling: Sampling,
) -> tuple[list[list[int]], list[list[float]]]:
    """Completion ids and the sampler's log-probabilities of them, from TRL's vLLM backend.

    Weights are sent to vLLM first, once per optimizer step. Every process must call this equally often.

    Raises:
        PolicyError: vLLM answered other prompts than it was given, or without log-probabilities.
    """
    backend = trainer.vllm_generation
    if trainer.state.global_step != trainer._last_loaded_step:
        backend.sync_weights()
        trainer._last_loaded_step = trainer.state.global_step
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_completion_length": sampling.max_new_tokens,
    }
    before = {name: getattr(backend, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(backend, name, value)
        answered, completion_ids, logprobs, _ = backend.generate(
            prompts=prompt_ids, images=images, num_generations=1
        )
    finally:
        for name, value in before.items():
            setattr(backend, name, value)
    if [list(ids) for ids in answered] != prompt_ids:
        raise PolicyError(
            "vLLM generated from other token ids than it was sent: it expands image placeholders, or cuts "
            "prompts, by itself. Its replies would be trained on in a context they were not drawn in; use a "
            "version of vLLM that TRL supports, and a vllm_max_model_length that holds every prompt"
        )
    if logprobs is None:
        raise PolicyError("vLLM returned no log-probabilities; leave `logprobs` out of generation_kwargs")
    # One entry per candidate token; with `logprobs=0` the only candidate is the sampled token.
    sampled = [[float("nan") if token[0] is None else token[0] for token in reply] for reply in logprobs]
    return completion_ids, sampled


def weights_replaced(trainer: Trainer) -> None:
    """To be called when weights were loaded: vLLM is sent them before it generates again, without a step."""
    if trainer.use_vllm:
        trainer._last_loaded_step = -1


def record(trainer: Trainer, mode: str, metrics: dict[str, float]) -> None:
    """Adds to the metrics that TRL averages and reports at the next logging step. `mode`: train or eval."""
    for name, value in metrics.items():
        trainer._metrics[mode][name].append(value)


def record_completions(trainer: Trainer, rows: Sequence[tuple[str, str, float, float]]) -> None:
    """Rows of (observation, reply, reward, advantage) for the table of TRL's `log_completions`."""
    for observation, reply, reward, advantage in rows:
        trainer._logs["prompt"].append([{"role": "user", "content": observation}])
        trainer._logs["completion"].append([{"role": "assistant", "content": reply}])
        trainer._logs["rewards"]["equation_4"].append(reward)
        trainer._logs["advantages"].append(advantage)


def logging_state(trainer: Trainer) -> dict[str, Any]:
    """What is lost between two logging steps unless a checkpoint keeps it, as JSON data."""
    loss = trainer.accelerator.gather(trainer._tr_loss.detach()).mean().item()
    return {
        "metrics": {name: list(values) for name, values in trainer._metrics["train"].items()},
        "loss_since_last_log": loss,
        "last_logged_step": trainer._globalstep_last_logged,
    }


def restore_logging(trainer: Trainer, state: dict[str, Any]) -> None:
    """Takes over a `logging_state`; to be called when training has begun, which resets all of it."""
    trainer._metrics["train"].clear()
    for name, values in state["metrics"].items():
        trainer._metrics["train"][name].extend(values)
    trainer._tr_loss = torch.full_like(trainer._tr_loss, state["loss_since_last_log"])
    trainer._globalstep_last_logged = state["last_logged_step"]


def windows_done(trainer: Trainer) -> int:
    """Windows (calls of `training_step`) since training began, over all resumptions."""
    return trainer._step


def set_windows_done(trainer: Trainer, windows: int) -> None:
    trainer._step = windows


@contextlib.contextmanager
def old_names() -> Iterator[None]:
    """TRL still calls activation checkpointing by its old name; the warning is for TRL, not for the user."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*gradient_checkpointing.*deprecated", category=FutureWarning
        )
        yield


def bare_model(trainer: Trainer) -> Any:
    """The model without what `accelerate` wraps around it."""
    return trainer.accelerator.unwrap_model(trainer.model)


def whole_weights(trainer: Trainer) -> bool:
    """Whether every process holds the whole plain model (one process or DDP, no adapter)."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return not (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled or hasattr(model, "peft_config"))


def samples_exactly(trainer: Trainer) -> bool:
    """Whether the log-probabilities recorded while sampling are the trainer's, up to rounding of float32."""
    exact = bare_model(trainer).dtype == torch.float32
    return not trainer.args.use_vllm and exact and trainer.accelerator.mixed_precision == "no"


def generates_together(trainer: Trainer) -> bool:
    """Whether processes must make generate calls together: to gather sharded weights, or for vLLM."""
    return trainer.use_vllm or trainer._dist.is_zero3 or trainer._dist.is_fsdp


@contextlib.contextmanager
def without_gradient_exchange(trainer: Trainer, model: torch.nn.Module) -> Iterator[None]:
    """For micro-batches before a window's last: gradients are added up here and exchanged with the last.

    DeepSpeed decides by itself, see `backward_inside_window`.
    """
    if trainer.is_deepspeed_enabled:
        yield
    else:
        with trainer.accelerator.no_sync(model):
            yield


def backward_inside_window(trainer: Trainer, loss: torch.Tensor) -> None:
    """Propagate the loss of a micro-batch before the last back, as `Trainer.training_step` does the last."""
    state = trainer.accelerator.gradient_state
    sync = state.sync_gradients
    # DeepSpeed steps its optimizer inside `backward` where this flag is set.
    state._set_sync_gradients(False)
    try:
        trainer.accelerator.backward(
            loss, **({"scale_wrt_gas": False} if trainer.is_deepspeed_enabled else {})
        )
    finally:
        state._set_sync_gradients(sync)


@contextlib.contextmanager
def without_push(trainer: Trainer) -> Iterator[None]:
    """Saves a checkpoint without uploading it, because it does not have its final name yet."""
    push = trainer.args.push_to_hub
    trainer.args.push_to_hub = False
    try:
        yield
    finally:
        trainer.args.push_to_hub = push


def after_rename(trainer: Trainer, run_dir: str, checkpoint: str) -> None:
    """What `Trainer._save_checkpoint` does at its end: uploads, and deletes checkpoints beyond the limit."""
    from transformers.trainer_utils import rotate_checkpoints

    if trainer.args.push_to_hub:
        trainer._push_from_checkpoint(checkpoint)
    if trainer.args.should_save:
        rotate_checkpoints(
            output_dir=run_dir,
            save_total_limit=trainer.args.save_total_limit,
            best_model_checkpoint=trainer.state.best_model_checkpoint,
            use_mtime=True,
        )
