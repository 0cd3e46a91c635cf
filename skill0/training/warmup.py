"""Warm-up: a policy learns to read pages and to act, by imitation, before any reinforcement.

Two stages over the same model, optimiser and learning-rate schedule. *Reading*: pages of facts are completed
(few facts at first, then whole skill files), and turns without skill files are imitated for search and for
the engine's language. *Acting*: turns with skill files join, and reading goes on, lest it be forgotten.

Every step's lessons follow from the seed and the step's number alone, so a run that is killed and resumed
ends with the same weights as one that was not, and two runs with one seed are the same run. Nothing depends
on the clock.

Left out on purpose: several processes (a tiny model needs one), mixed precision, and the choice of heads by
measurement: which heads look up and which copy is decided here, by number.
Tests: tests/training/test_warmup.py.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from skill0.errors import CheckpointError, ConfigError
from skill0.training.attention import halves, middle_layer, passed_on, start_copying
from skill0.training.checkpoints import checkpoint_bytes, newest_checkpoint, require_space, staged
from skill0.training.lesson_losses import Loss, lesson_losses, loss_counts
from skill0.training.searching_expert import kind
from skill0.training.timetable import Timetable
from skill0.training.turn_batching import length_sorted_batches, turn_length
from skill0.training.warmup_losses import FactNamer, passing_loss

if TYPE_CHECKING:
    from skill0.training.demonstrations import Demonstrations

LOG_EVERY = 10
"""Steps that one row of the learning curve is the mean of."""

STATE_VERSION = 1

STATE_FILE, OPTIMIZER_FILE, WEIGHTS_FILE, NAMER_FILE = (
    "warmup_state.json",
    "optimizer.pt",
    "model.safetensors",
    "namer.safetensors",
)


@dataclass(frozen=True)
class WarmupSettings:
    """How a policy is warmed up.

    Args:
        reading_steps (`int`, *optional*, defaults to `350`):
            Optimizer steps of the reading stage.
        acting_steps (`int`, *optional*, defaults to `600`):
            Optimizer steps of the acting stage.
        reading_lessons (`int`, *optional*, defaults to `8`):
            Pages to read in each step (as many more as they are shorter, while they hold few facts).
        replayed_lessons (`int`, *optional*, defaults to `4`):
            Pages to read in each step of the acting stage, so that reading is not forgotten.
        plain_lessons (`int`, *optional*, defaults to `8`):
            Turns without skill files in each step.
        skilled_lessons (`int`, *optional*, defaults to `16`):
            Turns with skill files in each step of the acting stage.
        micro_batch_size (`int`, *optional*, defaults to `16`):
            Turns that go through the model at once.
        learning_rate (`float`, *optional*, defaults to `2e-3`):
            Peak of the learning rate.
        ramp_steps (`int`, *optional*, defaults to `50`):
            Steps over which the learning rate rises.
        decay (`float`, *optional*, defaults to `0.4`):
            Last share of the steps, over which the learning rate falls to a twentieth.
        weight_decay (`float`, *optional*, defaults to `0.05`):
            AdamW's, on matrices only.
        max_grad_norm (`float`, *optional*, defaults to `1.0`):
            Gradients are scaled down to this norm.
        reading_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the reading lessons' cross-entropy beside that of the turns.
        attention_weight (`float`, *optional*, defaults to `0.3`):
            Weight of the supervision of attention from a fact's key to its value on the page.
        copy_weight (`float`, *optional*, defaults to `0.3`):
            Weight of the supervision of attention from a name to its places in the prompt.
        glance_weight (`float`, *optional*, defaults to `0.1`):
            Weight of the supervision of attention from a value to its key, and from a numbered name to its
            kind, within the reply.
        sighting_weight (`float`, *optional*, defaults to `0.1`):
            Weight of the supervision of attention to things of the wanted kind that the prompt names.
        choice_weight (`float`, *optional*, defaults to `0.3`):
            Weight of choosing as freely as a blind search does.
        naming_weight (`float`, *optional*, defaults to `1.0`):
            Weight of naming the fact at its place on the page.
        passing_weight (`float`, *optional*, defaults to `0.0`):
            Weight of passing on whatever name the copying heads attend to, of all names in every step. Only
            for worlds whose lessons are told with other names (the almanac, official games).
        save_every (`int`, *optional*, defaults to `200`):
            Steps between checkpoints.
        seed (`int`, *optional*, defaults to `0`):
            Fixes which lessons are drawn.

    Raises:
        ConfigError: a value out of range.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (pydantic reads it when a recipe is loaded)

    reading_steps: int = 350
    acting_steps: int = 600
    reading_lessons: int = 8
    replayed_lessons: int = 4
    plain_lessons: int = 8
    skilled_lessons: int = 16
    micro_batch_size: int = 16
    learning_rate: float = 2e-3
    ramp_steps: int = 50
    decay: float = 0.4
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    reading_weight: float = 1.0
    attention_weight: float = 0.3
    copy_weight: float = 0.3
    glance_weight: float = 0.1
    sighting_weight: float = 0.1
    choice_weight: float = 0.3
    naming_weight: float = 1.0
    passing_weight: float = 0.0
    save_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "seed" and value < 0:
                raise ConfigError(f"warm-up: {name} must not be negative, got {value}")
        for name in ("micro_batch_size", "learning_rate", "max_grad_norm", "save_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"warm-up: {name} must be positive, got {getattr(self, name)}")
        if self.decay > 1:
            raise ConfigError(f"warm-up: decay is a share of the steps, at most 1, got {self.decay}")
        if self.steps < 1:
            raise ConfigError(
                "warm-up: reading_steps and acting_steps are both 0; leave the warm-up out instead"
            )
        if self.reading_steps and not self.reading_lessons + self.plain_lessons:
            raise ConfigError(
                "warm-up: the reading stage has no lessons; raise reading_lessons or plain_lessons"
            )
        if self.acting_steps and not self.replayed_lessons + self.plain_lessons + self.skilled_lessons:
            raise ConfigError("warm-up: the acting stage has no lessons; raise skilled_lessons or another")

    @property
    def steps(self) -> int:
        return self.reading_steps + self.acting_steps

    @property
    def supervises_attention(self) -> bool:
        return max(self.attention_weight, self.copy_weight, self.glance_weight, self.sighting_weight) > 0

    def loss_weights(self) -> dict[str, float]:
        """By the names of `lesson_losses`."""
        return {
            "acting": 1.0,
            "reading": self.reading_weight,
            "naming": self.naming_weight,
            "looking up": self.attention_weight,
            "glancing": self.glance_weight,
            "copying": self.copy_weight,
            "sighting": self.sighting_weight,
            "choosing": self.choice_weight,
        }

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        rise = min(1.0, (step + 1) / max(1, self.ramp_steps))
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * rise * min(1.0, max(0.05, left))


@dataclass
class WarmupReport:
    """What a warm-up did, in wall seconds and in CPU seconds of the process. `curve` has a row every ten
    steps: losses and shares of right answers, averaged."""

    steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)

    def then(self, other: WarmupReport) -> WarmupReport:
        """This warm-up and another after it, as one."""
        later = [
            {**row, "step": row["step"] + self.steps, "seconds": round(row["seconds"] + self.seconds, 1)}
            for row in other.curve
        ]
        return WarmupReport(
            self.steps + other.steps,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            [*self.curve, *later],
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def warm_up(
    model: Any,
    processor: Any,
    demonstrations: Demonstrations,
    settings: WarmupSettings,
    output_dir: str | Path,
    resume: bool = True,
    progress: bool = True,
    new: bool = True,
) -> WarmupReport:
    """Train `model` in place. Checkpoints go to `output_dir`; with `resume` the newest one there is taken up,
    also that of a warm-up which was finished. A model that is not `new` keeps the embeddings it has.

    `model` may be any Qwen2.5-VL; look-ups and copies are supervised where skills are shown as briefs.

    Raises:
        ConfigError: the settings ask for lessons that the demonstrations do not hold.
        CheckpointError: a checkpoint is damaged, was made with other settings, or cannot be written.
    """
    warmup = Warmup(model, processor, demonstrations, settings, Path(output_dir), new=new)
    if resume:
        warmup.resume()
    with _bar(settings, progress) as show:
        while warmup.step < settings.steps:
            show(warmup.step, warmup.train_step())
            if warmup.step % settings.save_every == 0 or warmup.step == settings.steps:
                warmup.save()
    model.eval()
    return warmup.report


class Warmup:
    """A warm-up under way: the model, what it learns from, and the state that a checkpoint keeps."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        demonstrations: Demonstrations,
        settings: WarmupSettings,
        folder: Path,
        *,
        new: bool = True,
    ) -> None:
        self.model, self.settings, self.folder = model, settings, folder
        self.timetable = Timetable(processor, demonstrations, settings)
        if new:
            relate_names(model, processor.tokenizer)
            if self.timetable.renaming is not None:
                start_copying(model, middle_layer(model))
        self.pad_id: int = processor.tokenizer.pad_token_id
        self.image_id: int = processor.image_token_id
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.namer = FactNamer(model.get_input_embeddings().weight.shape[1]).to(model.device)
        if settings.passing_weight and self.timetable.renaming is None:
            raise ConfigError(
                "warm-up: passing_weight is set, but lessons of this world are not told with other names; "
                "leave it 0"
            )
        self.parameters = [*model.parameters(), *self.namer.parameters()]
        self.optimizer = _optimizer(self.parameters, settings)
        self.step = 0
        self.report = WarmupReport()
        self._recent: list[dict[str, float]] = []

    def train_step(self) -> dict[str, float]:
        """One optimizer step; returns its losses and shares of right answers."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self.model.train()
        lessons = self.timetable.lessons(self.step)
        lengths = [turn_length(lesson.turn) for lesson in lessons]
        batches = [
            [lessons[position] for position in positions]
            for positions in length_sorted_batches(lengths, self.settings.micro_batch_size)
        ]
        totals = loss_counts(lessons)
        measured: dict[str, float] = {}
        for batch in batches:
            found = lesson_losses(
                self.model,
                self.namer,
                batch,
                pad_id=self.pad_id,
                image_id=self.image_id,
                attentions=self.settings.supervises_attention,
            )
            self._backward(found, loss_counts(batch), totals, measured)
        if self.settings.passing_weight:
            loss = self._passing()
            (self.settings.passing_weight * loss).backward()
            measured["passing"] = loss.item()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate_at(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self._record(measured, time.perf_counter() - start, time.process_time() - cpu_start)
        return measured

    def _backward(
        self, found: dict[str, Loss], here: dict[str, int], totals: dict[str, int], measured: dict[str, float]
    ) -> None:
        """Gradients of one micro-batch. A loss counts as the mean over the whole step's tokens or marks."""
        weights = self.settings.loss_weights()
        total = torch.zeros((), device=self.model.device)
        for name, loss in found.items():
            share = here[name] / totals[name]
            total = total + weights[name] * share * loss.mean
            measured[name] = measured.get(name, 0.0) + share * loss.mean.item()
            if loss.right is not None:
                measured[f"{name} right"] = measured.get(f"{name} right", 0.0) + share * loss.right
        total.backward()

    def _passing(self) -> torch.Tensor:
        """Each name into the place of another one, by the middle layer's copying heads alone."""
        assert self.timetable.renaming is not None
        model = self.model
        names = torch.tensor(self.timetable.renaming.names, device=model.device)  # (names,)
        states = model.get_input_embeddings()(names)  # (names, width)
        _, copying = halves(model.config.get_text_config().num_attention_heads)
        passed = passed_on(model, middle_layer(model), copying, states)  # (names, width)
        others = states.roll(1 + self.step % (len(names) - 1), dims=0)  # (names, width)
        into = model.model.language_model.norm(others + passed)  # (names, width)
        return passing_loss(into, model.lm_head.weight, names)

    def _record(self, measured: dict[str, float], seconds: float, cpu_seconds: float) -> None:
        self.report.steps = self.step
        self.report.seconds += seconds
        self.report.cpu_seconds += cpu_seconds
        self._recent.append(measured)
        if self.step % LOG_EVERY == 0 or self.step == self.settings.steps:
            names = sorted({name for row in self._recent for name in row})
            means = {name: _mean([row[name] for row in self._recent if name in row]) for name in names}
            row = {"step": self.step, "seconds": round(self.report.seconds, 1), **means}
            self.report.curve.append(row)
            self._recent.clear()

    def save(self) -> None:
        """Write checkpoint `checkpoint-STEP`, and remove the one before."""
        previous = newest_checkpoint(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        require_space(self.folder, checkpoint_bytes(self.model))
        final = self.folder / f"checkpoint-{self.step}"
        with staged(final) as staging:
            folder = staging / final.name
            folder.mkdir()
            save_model(self.model, str(folder / WEIGHTS_FILE))
            save_file(self.namer.state_dict(), str(folder / NAMER_FILE))
            torch.save(self.optimizer.state_dict(), folder / OPTIMIZER_FILE)
            state = {
                "version": STATE_VERSION,
                "step": self.step,
                "settings": asdict(self.settings),
                "lessons": self.timetable.digest,
                "recent": self._recent,
                "report": self.report.to_json(),
            }
            (folder / STATE_FILE).write_text(json.dumps(state, indent=1), encoding="utf-8")
        if previous is not None and previous != final:
            shutil.rmtree(previous)

    def resume(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        folder = newest_checkpoint(self.folder)
        if folder is None:
            return
        try:
            state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            self._check(state, folder)
            load_model(self.model, str(folder / WEIGHTS_FILE))
            self.namer.load_state_dict(load_file(str(folder / NAMER_FILE)))
            self.optimizer.load_state_dict(torch.load(folder / OPTIMIZER_FILE, weights_only=True))
            self.step, self._recent = state["step"], state["recent"]
            self.report = WarmupReport(**state["report"])
        except CheckpointError:
            raise
        except Exception as error:  # a damaged file raises whatever its reader stumbles on
            raise CheckpointError(
                f"{folder}: cannot resume the warm-up ({error}); remove it to start anew"
            ) from error

    def _check(self, state: dict[str, Any], folder: Path) -> None:
        expected = {
            "version": STATE_VERSION,
            "settings": asdict(self.settings),
            "lessons": self.timetable.digest,
        }
        for name, value in expected.items():
            if state[name] != json.loads(json.dumps(value)):
                raise CheckpointError(
                    f"{folder} belongs to a warm-up with other {name}; remove it, or use another folder"
                )


def _optimizer(parameters: list[nn.Parameter], settings: WarmupSettings) -> torch.optim.AdamW:
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


@torch.no_grad()
def relate_names(model: Any, tokenizer: Any) -> int:
    """Start numbered names ("cabinet 2") near their kind ("cabinet") in the embedding; returns how many.

    A name's embedding becomes (kind + 0.7 number) / norm, with one random vector for each number. In a
    vocabulary without numbered names, such as Qwen's own, nothing changes.
    """
    embeddings = model.get_input_embeddings().weight  # (vocabulary, width)
    spellings = {tokenizer.decode([token]): token for token in range(len(tokenizer))}
    generator = torch.Generator().manual_seed(0)
    numbers: dict[str, torch.Tensor] = {}
    related = 0
    for name, token in sorted(spellings.items()):
        if kind(name) not in spellings:
            continue
        number = name.rpartition(" ")[2]
        if number not in numbers:
            drawn = torch.randn(embeddings.shape[1], generator=generator)  # (width,)
            numbers[number] = (drawn * embeddings.std().cpu()).to(embeddings)
        embeddings[token] = (embeddings[spellings[kind(name)]] + 0.7 * numbers[number]) / math.sqrt(
            1 + 0.7**2
        )
        related += 1
    return related


@contextmanager
def _bar(settings: WarmupSettings, shown: bool) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A progress bar with the shares of right answers."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not shown) as bar:
        task = bar.add_task("warm-up", total=settings.steps)

        def show(step: int, measured: dict[str, float]) -> None:
            stage = "reading" if step < settings.reading_steps else "acting"
            right = ", ".join(f"{k.split()[0]} {v:.2f}" for k, v in measured.items() if k.endswith(" right"))
            bar.update(task, completed=step + 1, description=f"warm-up: {stage} ({right})")

        yield show


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
