"""One micro-batch of lessons through the model: every loss of the warm-up, with what it is a mean over.

The forward pass is the official one, with the pages' features computed once for each different page. Marks of
a lesson are positions in its own prompt + completion; here they become positions in the padded batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from skill0.policy.stems import image_inputs
from skill0.training.attention import AttentionInputs, attention_inputs, halves, middle_layer
from skill0.training.lessons import Lesson
from skill0.training.turn_batching import collate_turns
from skill0.training.warmup_losses import FactNamer, attention_loss, choice_loss, imitation_loss, naming_loss


@dataclass(frozen=True)
class Loss:
    """A loss that is a mean over some tokens or marks, and the share of right answers (None: not counted)."""

    mean: torch.Tensor
    right: float | None = None


def loss_counts(lessons: Sequence[Lesson]) -> dict[str, int]:
    """For every loss, the number of tokens or marks that `lessons` have for it (see `lesson_losses`)."""
    look_ups = [mark for lesson in lessons for mark in lesson.look_ups]
    return {
        "acting": sum(sum(lesson.learned) for lesson in lessons if lesson.turn.reply),
        "reading": sum(sum(lesson.learned) for lesson in lessons if not lesson.turn.reply),
        "naming": len(look_ups),
        "looking up": len(look_ups),
        "glancing": sum(len(lesson.glances) for lesson in lessons),
        "copying": sum(len(lesson.copies) for lesson in lessons),
        "sighting": sum(len(lesson.sightings) for lesson in lessons),
        "choosing": sum(lesson.choice is not None for lesson in lessons),
    }


def lesson_losses(
    model: Any, namer: FactNamer, lessons: Sequence[Lesson], *, pad_id: int, image_id: int, attentions: bool
) -> dict[str, Loss]:
    """The losses that these lessons have something for, by name:

    "acting" and "reading" (cross-entropy of the two kinds of lessons), "choosing", "naming", and with
    `attentions` also "looking up", "glancing", "sighting" and "copying".
    """
    batch = collate_turns(
        [lesson.turn for lesson in lessons],
        pad_token_id=pad_id,
        image_token_id=image_id,
        device=model.device,
        pixels=None,
    )
    width = batch["prompt_ids"].shape[1]
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)  # (turns, tokens)
    middle = middle_layer(model)
    layers = {0, middle - 1, middle} if attentions else set()
    with attention_inputs(model, layers) as inputs:
        output = model.model(
            input_ids=torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            attention_mask=mask,
            mm_token_type_ids=batch["mm_token_type_ids"],
            **image_inputs(model, [lesson.turn.page for lesson in lessons]),
            use_cache=False,
            output_hidden_states=True,
        )
    logits = model.lm_head(
        output.last_hidden_state[:, width - 1 : -1]
    )  # (turns, completion tokens, vocabulary)
    found = _cross_entropies(lessons, logits, batch["completion_ids"])
    found |= _choices(lessons, logits)
    marks = _Marks.of(lessons, width, model.device)
    if len(marks.query):
        # What goes into the middle layer: it looks up what was named there.
        states = output.hidden_states[middle][marks.row, marks.target]  # (facts, width)
        embeddings = model.get_input_embeddings().weight
        found["naming"] = Loss(naming_loss(states, namer, embeddings, marks.key_id, marks.value_id))
    if attentions:
        found |= _attention_losses(lessons, marks, inputs, mask, width)
    return found


def _cross_entropies(
    lessons: Sequence[Lesson], logits: torch.Tensor, targets: torch.Tensor
) -> dict[str, Loss]:
    """Cross-entropy of the turns ("acting") and of the reading lessons ("reading"). For turns, `right` is the
    share whose every token would be chosen."""
    learned = torch.zeros(targets.shape, dtype=torch.bool)  # (turns, completion tokens)
    for row, lesson in enumerate(lessons):
        learned[row, : len(lesson.learned)] = torch.tensor(lesson.learned)
    learned = learned.to(targets.device)
    hits = (logits.argmax(dim=-1) == targets) | ~learned  # (turns, completion tokens)
    found = {}
    acts = torch.tensor([bool(lesson.turn.reply) for lesson in lessons], device=targets.device)
    for name, rows in (("acting", acts), ("reading", ~acts)):
        mask = learned & rows[:, None]
        if mask.any():
            right = hits[rows].all(dim=1).float().mean() if name == "acting" else hits[mask].float().mean()
            found[name] = Loss(imitation_loss(logits, targets, mask), right.item())
    return found


def _choices(lessons: Sequence[Lesson], logits: torch.Tensor) -> dict[str, Loss]:
    """The loss of free choices, if there are any; `right` is the share where an option would be chosen."""
    free = [(row, lesson.choice) for row, lesson in enumerate(lessons) if lesson.choice is not None]
    if not free:
        return {}
    among = torch.zeros(len(free), logits.shape[-1], dtype=torch.bool)  # (choices, vocabulary)
    columns = []
    for number, (row, (query, options)) in enumerate(free):
        among[number, list(options)] = True
        columns.append(query + 1 - len(lessons[row].turn.prompt_ids))
    chosen = logits[[row for row, _ in free], columns]  # (choices, vocabulary)
    among = among.to(logits.device)
    right = among.gather(1, chosen.argmax(dim=-1, keepdim=True)).float().mean()
    return {"choosing": Loss(choice_loss(chosen, among), right.item())}


@dataclass(frozen=True)
class _Marks:
    """The look-ups of a batch, each int64 (marks,): row, and columns in the padded batch."""

    row: torch.Tensor
    query: torch.Tensor
    target: torch.Tensor
    key_id: torch.Tensor
    value_id: torch.Tensor

    @staticmethod
    def of(lessons: Sequence[Lesson], width: int, device: Any) -> _Marks:
        rows = []
        for row, lesson in enumerate(lessons):
            shift = width - len(lesson.turn.prompt_ids)
            for mark in lesson.look_ups:
                places = (mark.query + shift, mark.target + shift)
                rows.append((row, *places, mark.key_id, mark.value_id))
        table = torch.tensor(rows, dtype=torch.long, device=device).reshape(-1, 5)  # (marks, 5)
        return _Marks(*table.unbind(dim=1))


def _attention_losses(
    lessons: Sequence[Lesson],
    marks: _Marks,
    inputs: Mapping[int, AttentionInputs],
    mask: torch.Tensor,
    width: int,
) -> dict[str, Loss]:
    """Half of the middle layer's heads look facts up, the others copy; half of the first layer's glance; half
    of the layer's before the middle look for what is wanted."""
    middle, tokens = max(inputs), mask.shape[1]
    first, second = halves(inputs[middle].module.num_heads)
    found = {}
    if len(marks.query):
        weights = inputs[middle].weights(mask, marks.row, marks.query, first)  # (facts, heads, tokens)
        found["looking up"] = Loss(attention_loss(weights, _one_hot(marks.target, tokens)))
    wanted = {
        "glancing": (
            0,
            [(row, query, (at,)) for row, one in enumerate(lessons) for query, at in one.glances],
        ),
        "sighting": (middle - 1, [(row, *mark) for row, one in enumerate(lessons) for mark in one.sightings]),
        "copying": (middle, [(row, *mark) for row, one in enumerate(lessons) for mark in one.copies]),
    }
    for name, (layer, found_marks) in wanted.items():
        if found_marks:
            rows, queries, sources = _columns(found_marks, lessons, width, tokens, mask.device)
            weights = inputs[layer].weights(mask, rows, queries, second)  # (marks, heads, tokens)
            found[name] = Loss(attention_loss(weights, sources))
    return found


def _columns(
    marks: Sequence[tuple[int, int, Sequence[int]]],
    lessons: Sequence[Lesson],
    width: int,
    tokens: int,
    device: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows and query columns, int64 (marks,), and source columns, bool (marks, tokens), of the batch."""
    sources = torch.zeros(len(marks), tokens, dtype=torch.bool)  # (marks, tokens)
    queries = []
    for number, (row, query, places) in enumerate(marks):
        shift = width - len(lessons[row].turn.prompt_ids)
        queries.append(query + shift)
        sources[number, torch.tensor(places) + shift] = True
    rows = torch.tensor([row for row, _, _ in marks], device=device)
    return rows, torch.tensor(queries, device=device), sources.to(device)


def _one_hot(columns: torch.Tensor, tokens: int) -> torch.Tensor:
    return columns[:, None] == torch.arange(tokens, device=columns.device)[None]  # (marks, tokens)
