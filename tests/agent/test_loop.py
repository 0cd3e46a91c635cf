"""The agent loop in a world with known answers: three boxes, one of which holds the key."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from boxes import COMMANDS, Boxes, hint, task

from skill0.agent import (
    AgentLoop,
    AgentSettings,
    PolicyInput,
    PolicyOutput,
    RandomPolicy,
    RolloutGroup,
    Sampling,
    ScriptedPolicy,
    Trajectory,
    reply_seed,
)
from skill0.agent.scripted import PLACEHOLDER_ID
from skill0.context import PromptTemplate
from skill0.envs import EnvPool, Observation, StepResult, Task
from skill0.errors import ConfigError, PolicyError

SAMPLING = Sampling()


def reply(action: str) -> str:
    return f"<think>try</think><action>{action}</action>"


def one_by_one(item: PolicyInput) -> str:
    """Opens box 1, then 2, then 3: wins at the turn that has the key's number."""
    assert item.state is not None
    return reply(COMMANDS[item.state.step % 3])


def as_told(item: PolicyInput) -> str:
    """Reads the number off the page, as a model would; opens box 1 without it."""
    assert item.page is not None
    told = [number for number in "123" if f"The key is in box {number}." in item.page.text()]
    return reply(f"open box {told[0] if told else 1}")


def run(
    policy, groups: Sequence[RolloutGroup], seed: int = 0, make_env=Boxes, **settings
) -> list[Trajectory]:
    with EnvPool(make_env) as pool:
        return AgentLoop(policy, pool, AgentSettings(**settings)).run(groups, SAMPLING, seed)


def test_an_episode_from_beginning_to_end() -> None:
    (trajectory,) = run(ScriptedPolicy(one_by_one), [RolloutGroup(task(2), 1)])
    assert trajectory.succeeded
    assert trajectory.env_reward == 1.0
    assert trajectory.arm == ()
    assert [turn.action for turn in trajectory.turns] == ["open box 1", "open box 2"]
    assert [turn.observation for turn in trajectory.turns] == ["You see box 1, box 2, box 3.", "Empty."]
    assert [turn.reward for turn in trajectory.turns] == [0.0, 0.0]
    assert all(turn.valid for turn in trajectory.turns)
    second = trajectory.turns[1].page
    assert second is not None
    assert second.text() == "You see box 1, box 2, box 3.\nopen box 1"


def test_skills_in_context_are_what_the_policy_can_read() -> None:
    groups = [
        RolloutGroup(task(3), 1, (hint(3),)),
        RolloutGroup(task(3), 1),
        RolloutGroup(task(3), 1, (hint(2),)),
    ]
    told, plain, misled = run(ScriptedPolicy(as_told), groups)
    assert (told.arm, told.outcome, len(told.turns)) == (("hint3",), "success", 1)
    assert (plain.arm, plain.outcome, len(plain.turns)) == ((), "failure", 5)
    assert (misled.arm, misled.outcome) == (("hint2",), "failure")


def test_trajectories_come_in_group_order_members_in_order() -> None:
    groups = [RolloutGroup(task(3), 2), RolloutGroup(task(1), 1), RolloutGroup(task(2), 2, first_member=4)]
    trajectories = run(ScriptedPolicy(one_by_one), groups)
    assert [(t.task.payload, t.member) for t in trajectories] == [(3, 0), (3, 1), (1, 0), (2, 4), (2, 5)]
    assert [len(t.turns) for t in trajectories] == [3, 3, 1, 2, 2]


def test_ids_spans_and_token_counts() -> None:
    (trajectory,) = run(ScriptedPolicy(one_by_one), [RolloutGroup(task(1), 1, (hint(1),))])
    (turn,) = trajectory.turns
    assert turn.page is not None
    assert turn.visual_tokens == turn.page.visual_tokens == turn.prompt_ids.count(PLACEHOLDER_ID)
    assert turn.text_tokens == len(turn.prompt_ids) - turn.visual_tokens
    assert bytes(turn.completion_ids).decode() == turn.reply
    assert turn.logprobs is not None
    assert len(turn.logprobs) == len(turn.completion_ids) == len(turn.action_mask)
    marked = [token for token, inside in zip(turn.completion_ids, turn.action_mask, strict=True) if inside]
    assert bytes(marked).decode() == "open box 1"


@pytest.mark.parametrize(
    ("text", "sent"),
    [("no tags", ""), (reply("open window"), "open window"), (reply("open box 1") * 2, ""), (reply(""), "")],
)
def test_an_invalid_reply_costs_and_counts_as_a_step(text: str, sent: str) -> None:
    (trajectory,) = run(
        ScriptedPolicy(lambda item: text),
        [RolloutGroup(task(1), 1)],
        max_steps=2,
        invalid_action_penalty=0.25,
    )
    assert trajectory.outcome == "failure"
    assert [turn.action for turn in trajectory.turns] == [sent, sent]
    assert [turn.reward for turn in trajectory.turns] == [-0.25, -0.25]
    assert not any(turn.valid for turn in trajectory.turns)
    assert trajectory.turns[1].observation == "Nothing happens."
    assert len(trajectory.turns[0].action_mask) == len(trajectory.turns[0].completion_ids)
    assert sum(trajectory.turns[0].action_mask) == len(sent)


def test_the_agents_own_step_limit() -> None:
    (trajectory,) = run(ScriptedPolicy(one_by_one), [RolloutGroup(task(3), 1)], max_steps=2)
    assert (trajectory.outcome, len(trajectory.turns)) == ("failure", 2)


def test_the_environments_step_limit() -> None:
    (trajectory,) = run(
        ScriptedPolicy(as_told), [RolloutGroup(task(3), 1)], make_env=lambda: Boxes(max_steps=3)
    )
    assert (trajectory.outcome, len(trajectory.turns)) == ("failure", 3)


def test_winning_at_the_last_step_is_winning() -> None:
    (trajectory,) = run(ScriptedPolicy(one_by_one), [RolloutGroup(task(3), 1)], max_steps=3)
    assert trajectory.outcome == "success"


ASKING = PromptTemplate(
    "asking", "", ("{observation}", "{compression}"), asks_compression=True, compression_request="factor?"
)


def test_the_factor_of_a_reply_shapes_the_next_page() -> None:
    factors = ["1", "4", "nan"]

    def compressing(item: PolicyInput) -> str:
        assert item.state is not None
        return f"{reply('open box 1')}<compression>{factors[item.state.step]}</compression>"

    (trajectory,) = run(ScriptedPolicy(compressing), [RolloutGroup(task(3), 1)], template=ASKING, max_steps=3)
    assert [turn.compression for turn in trajectory.turns] == [1.0, 4.0, None]
    assert [turn.valid for turn in trajectory.turns] == [True, True, False]
    cells = [turn.page.style.cell for turn in trajectory.turns if turn.page]
    assert cells[:2] == ["6x12", "6x12"]
    assert cells[2] == AgentSettings().style.compressed(4.0).cell != "6x12"


def test_an_unusable_factor_brings_back_the_full_size() -> None:
    factors = ["4", "none", "1"]

    def compressing(item: PolicyInput) -> str:
        assert item.state is not None
        return f"{reply('open box 1')}<compression>{factors[item.state.step]}</compression>"

    (trajectory,) = run(ScriptedPolicy(compressing), [RolloutGroup(task(3), 1)], template=ASKING, max_steps=3)
    cells = [turn.page.style.cell for turn in trajectory.turns if turn.page]
    assert cells[1] != "6x12"
    assert cells[2] == "6x12"


class Fragile(Boxes):
    """Breaks at reset for task "cursed-*", at the second step for "cracked-*", forgets `won` for "mute-*"."""

    def reset(self, task: Task) -> Observation:
        self.kind = task.task_type
        if self.kind == "cursed":
            raise OSError("no such game")
        return super().reset(task)

    def step(self, action: str) -> StepResult:
        if self.kind == "cracked" and self.steps == 1:
            raise OSError("engine died")
        result = super().step(action)
        return StepResult(result.observation, 0.0, False, False, {}) if self.kind == "mute" else result


def test_failures_of_the_environment_are_outcomes_not_losses() -> None:
    groups = [RolloutGroup(task(3, name), 1) for name in ("cursed", "cracked", "mute", "sound")]
    cursed, cracked, mute, sound = run(ScriptedPolicy(one_by_one), groups, make_env=Fragile)
    assert cursed.outcome == cracked.outcome == mute.outcome == "infrastructure"
    assert cursed.failure is not None
    assert cursed.failure.kind == "raised"
    assert "no such game" in cursed.failure.message
    assert cursed.turns == ()
    assert cracked.failure is not None
    assert "engine died" in cracked.failure.message
    assert [turn.action for turn in cracked.turns] == ["open box 1", "open box 2"]  # kept, the last one too
    assert mute.failure is not None
    assert mute.failure.kind == "invalid"
    assert sound.outcome == "success"
    assert sound.failure is None


def pick_by_seed(item: PolicyInput) -> str:
    """A policy whose reply depends on the seed, as sampling does."""
    return reply(random.Random(item.seed).choice(COMMANDS))


def test_replies_do_not_depend_on_the_company_they_are_drawn_in() -> None:
    groups = [RolloutGroup(task(number % 3 + 1, f"g{number}"), 3) for number in range(4)]
    together = run(ScriptedPolicy(pick_by_seed), groups, seed=5)
    alone = [
        trajectory for group in groups for trajectory in run(ScriptedPolicy(pick_by_seed), [group], seed=5)
    ]
    halves = [
        trajectory
        for group in groups
        for half in (RolloutGroup(group.task, 1), RolloutGroup(group.task, 2, first_member=1))
        for trajectory in run(ScriptedPolicy(pick_by_seed), [half], seed=5)
    ]
    assert together == alone == halves
    assert together != run(ScriptedPolicy(pick_by_seed), groups, seed=6)
    assert len({tuple(turn.action for turn in trajectory.turns) for trajectory in together}) > 6


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 4])
def test_trajectories_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    groups = [RolloutGroup(task(number % 3 + 1, f"g{number}"), 3) for number in range(4)]
    with EnvPool(Boxes, workers=workers) as pool:
        spread = AgentLoop(ScriptedPolicy(pick_by_seed), pool).run(groups, SAMPLING, seed=5)
    assert spread == run(ScriptedPolicy(pick_by_seed), groups, seed=5)


def test_paired_arms_draw_the_same_numbers() -> None:
    """A policy that ignores its context does the same with and without skills: Delta is then exactly 0."""
    skilled, plain = run(
        ScriptedPolicy(pick_by_seed), [RolloutGroup(task(3), 4, (hint(3),)), RolloutGroup(task(3), 4)]
    )[::4]
    assert [turn.action for turn in skilled.turns] == [turn.action for turn in plain.turns]


def test_seeds_of_replies() -> None:
    # Pinned, so that a change of the derivation is noticed: it would change every sampled run.
    # python -c "import hashlib; print(int(hashlib.sha256(b'0\0a\0001\0002').hexdigest()[:16], 16) >> 1)"
    assert reply_seed(0, "a", 1, 2) == 8701205036756702150
    seeds = {reply_seed(*key) for key in itertools.product((0, 1), ("a", "b"), range(4), range(4))}
    assert len(seeds) == 64
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_playing_the_same_member_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="played twice"):
        run(ScriptedPolicy(one_by_one), [RolloutGroup(task(1), 2), RolloutGroup(task(1), 1, first_member=1)])
    run(ScriptedPolicy(one_by_one), [RolloutGroup(task(1), 2), RolloutGroup(task(1), 1, first_member=2)])


def test_a_policy_that_drops_a_reply_is_caught() -> None:
    class Lazy(ScriptedPolicy):
        def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
            return super().generate(inputs, sampling)[1:]

    with pytest.raises(PolicyError, match=r"Lazy\.generate returned 1 replies for 2 inputs"):
        run(Lazy(one_by_one), [RolloutGroup(task(1), 2)])


class Counting(ScriptedPolicy):
    """Remembers how many inputs each generate call had."""

    def __init__(self) -> None:
        super().__init__(lambda item: one_by_one(item) if item.state else "")
        self.sizes: list[int] = []

    def generate(self, inputs: Sequence[PolicyInput], sampling: Sampling) -> list[PolicyOutput]:
        self.sizes.append(len(inputs))
        return super().generate(inputs, sampling)


def test_processes_with_fewer_live_episodes_make_the_same_generate_calls() -> None:
    """Elsewhere 3, 3, 1, 1, 0 episodes are live; here 2 episodes that end after one and two turns."""
    elsewhere = iter([3, 3, 1, 1, 0])
    policy = Counting()
    loop = AgentLoop(policy, EnvPool(Boxes))
    groups = [RolloutGroup(task(1), 1), RolloutGroup(task(2), 1)]
    trajectories = loop.run(groups, SAMPLING, 0, live_across_ranks=lambda live: max(live, next(elsewhere)))
    assert policy.sizes == [3, 3, 1, 1]
    assert [len(trajectory.turns) for trajectory in trajectories] == [1, 2]
    assert trajectories == run(ScriptedPolicy(one_by_one), groups)


def test_a_process_without_any_episode_keeps_step() -> None:
    elsewhere = iter([2, 1, 0])
    policy = Counting()
    loop = AgentLoop(policy, EnvPool(Boxes))
    assert loop.run([], SAMPLING, 0, live_across_ranks=lambda live: max(live, next(elsewhere))) == []
    assert policy.sizes == [2, 1]


def test_progress_and_timings() -> None:
    ended: list[int] = []
    loop = AgentLoop(ScriptedPolicy(one_by_one), EnvPool(Fragile))
    groups = [RolloutGroup(task(1), 2), RolloutGroup(task(3), 1), RolloutGroup(task(1, "cursed"), 1)]
    trajectories = loop.run(groups, SAMPLING, 0, progress=ended.append)
    assert ended == [1, 2, 1]  # the cursed one at reset, two at the first turn, one at the third
    for trajectory in trajectories:
        assert set(trajectory.timings) == {"environment", "rendering", "generation"}
        assert all(seconds >= 0 for seconds in trajectory.timings.values())
    assert sum(trajectory.timings["generation"] for trajectory in trajectories) > 0


def test_nothing_to_play() -> None:
    assert run(ScriptedPolicy(one_by_one), []) == []


def test_the_random_policy_is_valid_uniform_and_fixed_by_the_seed() -> None:
    groups = [RolloutGroup(task(1), 300)]
    trajectories = run(RandomPolicy(), groups, max_steps=1)
    assert all(turn.valid for trajectory in trajectories for turn in trajectory.turns)
    won = sum(trajectory.succeeded for trajectory in trajectories)
    assert 75 <= won <= 125  # 100 expected, standard deviation 8.2
    assert trajectories == run(RandomPolicy(), groups, max_steps=1)
    asked = run(RandomPolicy(asks_compression=True), groups, max_steps=1, template=ASKING)
    assert all(turn.valid for trajectory in asked for turn in trajectory.turns)
