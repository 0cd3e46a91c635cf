"""The plain view: a turn that was played with skills, as it would have been shown without any.

The prompt is built again by the agent's own `build_input`, from the same observation, status, history and
asked-for compression, with no skill files: it is what the plain arm would see in that state, and neither its
page nor its text holds a word of a skill. The reply stays as sampled. SIRI (arXiv 2606.02355) scores what
the skill arm did in this view (see internalization.py for the loss and its deviations).
Tests: tests/training/test_plain_view.py.

Left out: what the environment itself repeats of a skill, and thoughts: neither is part of the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accelerate.utils import gather_object

from skill0.agent.prompting import build_input
from skill0.training.internalization import InternalizationSettings, passes_gate, share, turn_weight
from skill0.training.replay import drawn, with_earlier
from skill0.training.rollout import derived_seed
from skill0.training.turn_buffer import TrainingTurn, imitation_turn

if TYPE_CHECKING:
    from skill0.agent import AgentSettings, Trajectory, Turn
    from skill0.context import ContextRenderer
    from skill0.policy import PromptEncoder
    from skill0.training.trainer import Skill0Trainer


@dataclass(frozen=True)
class Chosen:
    """One turn that passes the gate: where it stands, its weight w, and which of its tokens are imitated."""

    trajectory: Trajectory
    place: int
    weight: float
    tokens: tuple[bool, ...]


def plain_turn(
    trajectory: Trajectory,
    place: int,
    settings: AgentSettings,
    renderer: ContextRenderer,
    encoder: PromptEncoder,
) -> Turn:
    """Turn number `place` of an episode under the prompt it would have had without skill files.

    Its `logprobs` are None: nobody sampled the reply under this prompt.
    """
    turn = trajectory.turns[place]
    if turn.state is None:
        raise ValueError("a turn that does not know what its prompt was built from cannot be shown otherwise")
    compression = 1.0 if place == 0 else trajectory.turns[place - 1].compression or 1.0
    state = replace(turn.state, skills=())
    item = build_input(settings, renderer, state, compression, 0)
    prompt_ids = encoder.encode(item)
    visual_tokens = 0 if item.page is None else item.page.visual_tokens
    return replace(
        turn,
        prompt_ids=prompt_ids,
        page=item.page,
        logprobs=None,
        text_tokens=len(prompt_ids) - visual_tokens,
        visual_tokens=visual_tokens,
        state=state,
    )


def tokens_of(turn: Turn, settings: InternalizationSettings) -> tuple[bool, ...]:
    """Which tokens of a reply would be imitated, were its gate open."""
    return (True,) * len(turn.completion_ids) if settings.tokens == "reply" else turn.action_mask


def choose(
    trajectories: Sequence[Trajectory],
    groups: Sequence[int],
    advantages: Sequence[Sequence[float]],
    effects: Mapping[int, float | None],
    settings: InternalizationSettings,
) -> list[Chosen]:
    """The turns of these trajectories that pass the gate, with a valid reply.

    `groups[i]` and `advantages[i][t]` are those of trajectory i and its turn t; `effects` holds Delta_g of
    every group, in units of the success reward.
    """
    chosen = []
    for trajectory, group, values in zip(trajectories, groups, advantages, strict=True):
        effect = effects[group]
        if not passes_gate(used=bool(trajectory.arm), won=trajectory.succeeded, effect=effect):
            continue
        assert effect is not None
        for place, (turn, advantage) in enumerate(zip(trajectory.turns, values, strict=True)):
            tokens = tokens_of(turn, settings)
            if turn.valid and any(tokens):
                weight = turn_weight(advantage, effect, settings)
                chosen.append(Chosen(trajectory, place, weight, tokens))
    return chosen


def turns_to_internalize(
    trainer: Skill0Trainer,
    trajectories: Sequence[Trajectory],
    groups: Sequence[int],
    advantages: Sequence[Sequence[float]],
    effects: Mapping[int, float | None],
) -> tuple[list[TrainingTurn], dict[str, float]]:
    """This process's part of the internalization loss of a round, and its figures over all processes.

    Called by all processes together. Nothing is done, and nothing is logged, where the loss is off.
    """
    settings = trainer.internalization
    step = trainer.state.global_step
    if share(step + trainer.steps_per_round - 1, settings) == 0.0:
        return [], {}
    chosen = choose(trajectories, groups, advantages, effects, settings)
    tokens = [sum(item.tokens) for item in chosen]
    weighted = sum(item.weight * count for item, count in zip(chosen, tokens, strict=True))
    played = sum(sum(tokens_of(turn, settings)) for item in trajectories for turn in item.turns)
    parts = gather_object([(sum(tokens), len(chosen), weighted, played)])
    open_gates, open_turns, weight, played = (sum(part[column] for part in parts) for column in range(4))
    denominator = max(1, open_gates if settings.mean == "open" else played)
    turns = [
        imitation_turn(
            plain_turn(
                item.trajectory, item.place, trainer.agent_settings, trainer.renderer, trainer.encoder
            ),
            item.weight / denominator,
            item.tokens,
        )
        for item in chosen
        if item.weight > 0.0
    ]
    figures = {"internalization/tokens": float(open_gates), "internalization/turns": float(open_turns)}
    if settings.replay:
        newest = tuple(turns)
        seed = derived_seed(trainer.args.seed, "replay", step)
        turns = with_earlier(newest, drawn(trainer.remembered, settings.replay, seed))
        figures["internalization/remembered_rounds"] = float(len(trainer.remembered))
        if weight > 0.0:  # in some process; all remember the same rounds
            trainer.remembered = (*trainer.remembered, newest)[-settings.memory :]
    measured = [effect for effect in effects.values() if effect is not None]
    if open_gates:
        figures["internalization/weight"] = weight / open_gates
    if measured:
        figures["internalization/gate_open"] = sum(effect > 0 for effect in measured) / len(measured)
    return turns, figures
