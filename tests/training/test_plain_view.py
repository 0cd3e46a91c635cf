"""What the skill arm did, as the plain arm would have seen it: no word of a skill is left anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from colours_reader import Reader
from colours_world import PatientColours, make_bank, make_tasks

from skill0.agent import AgentLoop, AgentSettings, RolloutGroup, Sampling, Trajectory
from skill0.context import ContextRenderer, PageStyle, template_named
from skill0.envs import EnvPool
from skill0.policy import PromptEncoder, load_processor
from skill0.skills import Skill, SkillFile
from skill0.training.internalization import InternalizationSettings
from skill0.training.plain_view import choose, plain_turn

PLACES = [(skills, history) for skills in ("image", "text") for history in ("image", "text", "none")]


@pytest.fixture(scope="module")
def encoder(colours_policy: Path) -> PromptEncoder:
    return PromptEncoder(load_processor(colours_policy))


def play(
    encoder: PromptEncoder, settings: AgentSettings, bank: Any = None, tail: str = ""
) -> list[Trajectory]:
    """A warm and a cold task, each in two arms that take the same wrong actions for three turns."""
    bank = bank or make_bank()
    groups = [
        RolloutGroup(task, 1, skills) for task in make_tasks(2) for skills in ((bank[task.task_type],), ())
    ]
    reader = Reader(encoder, told=0.0, guessed=0.0, tail=tail)
    loop = AgentLoop(reader, EnvPool(PatientColours, workers=0), settings)
    return loop.run(groups, Sampling(), seed=0)


@pytest.mark.parametrize(("skills_in", "history_in"), PLACES)
@pytest.mark.parametrize("skill_form", ["full", "brief"])
def test_it_is_the_prompt_of_the_plain_arm(
    encoder: PromptEncoder, skills_in: str, history_in: str, skill_form: str
) -> None:
    settings = AgentSettings(
        template="household", style=PageStyle("4x8", 112), skills_in=skills_in, history_in=history_in,
        skill_form=skill_form,
    )  # fmt: skip
    skilled, plain, *_ = play(encoder, settings)
    assert skilled.arm == ("warm",)
    assert len(skilled.turns) == len(plain.turns) == 3
    for place in range(3):
        theirs, ours = plain.turns[place], plain_turn(skilled, place, settings, ContextRenderer(), encoder)
        assert everything(encoder, skilled.turns[place]) != everything(encoder, theirs)
        assert ours.prompt_ids == theirs.prompt_ids
        assert ours.visual_tokens == theirs.visual_tokens
        assert ours.text_tokens == theirs.text_tokens
        assert (ours.page is None) == (theirs.page is None)
        assert ours.page is None or ours.page.text() == theirs.page.text()
        assert ours.completion_ids == skilled.turns[place].completion_ids
        assert ours.action_mask == skilled.turns[place].action_mask
        assert ours.logprobs is None


@pytest.mark.parametrize(("skills_in", "history_in"), PLACES)
@pytest.mark.parametrize("skill_form", ["full", "brief"])
def test_no_word_of_a_skill_is_left(
    encoder: PromptEncoder, skills_in: str, history_in: str, skill_form: str
) -> None:
    settings = AgentSettings(
        template="household", style=PageStyle("4x8", 392), skills_in=skills_in, history_in=history_in,
        skill_form=skill_form,
    )  # fmt: skip
    # Words that neither the world nor a prompt template says.
    skill = Skill("quixotic", "vermilion", "marmalade", "zebra: walnut")
    bank = {kind: SkillFile(kind, "zanzibar", (skill,), (kind,)) for kind in ("warm", "cold")}
    said = {"full": ("zanzibar", "quixotic", "vermilion", "marmalade"), "brief": ("zebra", "walnut")}
    for trajectory in play(encoder, settings, bank):
        for place, turn in enumerate(trajectory.turns):
            plain = plain_turn(trajectory, place, settings, ContextRenderer(), encoder)
            if trajectory.arm:
                assert all(word in everything(encoder, turn) for word in said[skill_form])
            assert not any(word in everything(encoder, plain) for words in said.values() for word in words)
            assert plain.state is not None
            assert plain.state.skills == ()


def everything(encoder: PromptEncoder, turn: Any) -> str:
    """All that a prompt shows: its text, and its page's."""
    page = "" if turn.page is None else turn.page.text()
    return encoder.decode(turn.prompt_ids) + "\n" + page


def test_the_compression_asked_for_is_kept(encoder: PromptEncoder) -> None:
    template = replace(template_named("alfworld"), asks_compression=True)
    settings = AgentSettings(template=template, style=PageStyle("6x12", 392))
    skilled, plain, *_ = play(encoder, settings, tail="<compression>1.5</compression>")
    assert skilled.turns[0].compression == 1.5
    for place in range(3):
        ours = plain_turn(skilled, place, settings, ContextRenderer(), encoder)
        assert ours.prompt_ids == plain.turns[place].prompt_ids


def test_a_turn_that_does_not_know_its_state_is_refused(encoder: PromptEncoder) -> None:
    settings = AgentSettings(template="household", style=PageStyle("4x8", 112))
    trajectory = play(encoder, settings)[0]
    lost = replace(trajectory, turns=tuple(replace(turn, state=None) for turn in trajectory.turns))
    with pytest.raises(ValueError, match="does not know what its prompt was built from"):
        plain_turn(lost, 0, settings, ContextRenderer(), encoder)


class TestChoice:
    """Only valid turns of won episodes of a skill arm whose group has a positive effect."""

    @pytest.fixture
    def won(self, encoder: PromptEncoder) -> Trajectory:
        settings = AgentSettings(template="household", style=PageStyle("4x8", 112))
        lost = play(encoder, settings)[0]
        return replace(lost, outcome="success")

    def test_by_hand(self, won: Trajectory) -> None:
        episodes = [won, replace(won, outcome="failure"), replace(won, arm=()), won, won]
        groups = [0, 0, 0, 1, 2]
        advantages = [(0.5, -0.5, 3.0)] * 5
        found = choose(
            episodes, groups, advantages, {0: 0.25, 1: -0.5, 2: None}, InternalizationSettings(clip=2.0)
        )
        assert [item.trajectory for item in found] == [won] * 3
        assert [(item.place, item.weight) for item in found] == [(0, 0.5), (1, 0.0), (2, 2.0)]

    def test_tokens_are_those_of_the_action_or_the_reply(self, won: Trajectory, encoder: Any) -> None:
        spelled = {}
        for tokens in ("action", "reply"):
            settings = InternalizationSettings(tokens=tokens, weighting="uniform")
            item = choose([won], [0], [(0.0,) * 3], {0: 1.0}, settings)[0]
            ids = won.turns[0].completion_ids
            assert len(item.tokens) == len(ids)
            spelled[tokens] = encoder.decode([i for i, kept in zip(ids, item.tokens, strict=True) if kept])
        assert spelled["action"] == "blue"
        assert spelled["reply"] == "<think>now</think><action>blue</action>"

    def test_an_invalid_reply_is_not_imitated(self, won: Trajectory) -> None:
        clumsy = replace(won, turns=(replace(won.turns[0], valid=False), *won.turns[1:]))
        settings = InternalizationSettings(weighting="uniform")
        found = choose([clumsy], [0], [(0.0,) * 3], {0: 1.0}, settings)
        assert [item.place for item in found] == [1, 2]
