"""GiGPO: returns, anchor states and step-level advantages, worked out by hand and against a naive loop."""

from __future__ import annotations

import math
from difflib import SequenceMatcher

import numpy as np
import pytest

from skill0.agent import Turn
from skill0.agent.policy import EpisodeState, PastTurn
from skill0.envs import Observation, Task
from skill0.skills import Skill, SkillFile
from skill0.training.gigpo import anchor_groups, anchor_text, discounted_returns, step_advantages

SECRET = "heat the egg in the microwave first"
FILE = SkillFile("heat", "Heating", (Skill("heat", SECRET, "", f"egg: {SECRET}"),), ("heat",))


class TestReturns:
    def test_by_hand(self) -> None:
        # gamma 1/2, rewards 1, -2, 4: R_2 = 4; R_1 = -2 + 2 = 0; R_0 = 1 + 0 = 1.
        assert discounted_returns([1.0, -2.0, 4.0], 0.5).tolist() == [1.0, 0.0, 4.0]

    def test_ends_of_the_range(self) -> None:
        assert discounted_returns([1.0, 2.0, 3.0], 1.0).tolist() == [6.0, 5.0, 3.0]
        assert discounted_returns([1.0, 2.0, 3.0], 0.0).tolist() == [1.0, 2.0, 3.0]
        assert discounted_returns([], 0.9).tolist() == []


def turn_at(
    text: str, admissible: tuple[str, ...] | None, skills: tuple[SkillFile, ...] = (), step: int = 0
) -> Turn:
    """A turn as the agent loop makes it; its prompt, page and history hold other things than its anchor."""
    observation = Observation(text, "heat an egg", admissible, "You carry nothing.")
    state = EpisodeState(
        Task("t", "words", "heat", "heat an egg"),
        observation,
        step,
        (PastTurn("before", "go"),) * step,
        skills,
    )
    prompt = tuple((SECRET if skills else "no skills").encode())
    return Turn(
        prompt, (1, 2), None, None, (False, True), text, "reply", "go", None, True, 0.0, 1, 0, state
    )  # fmt: skip


class TestAnchor:
    def test_it_is_what_the_environment_said(self) -> None:
        turn = turn_at("You see an egg.", ("take egg", "go"))
        assert anchor_text(turn, "observation", digest=False) == "You see an egg."
        assert anchor_text(turn, "admissible", digest=False) == "You see an egg.\0go\0take egg"

    @pytest.mark.parametrize("contents", ["observation", "admissible"])
    @pytest.mark.parametrize("digest", [False, True])
    def test_it_never_contains_skill_text_and_both_arms_share_it(self, contents: str, digest: bool) -> None:
        skilled, plain = (turn_at("You see an egg.", ("go",), skills) for skills in ((FILE,), ()))
        assert skilled.prompt_ids != plain.prompt_ids
        anchor = anchor_text(skilled, contents, digest=digest)
        assert anchor == anchor_text(plain, contents, digest=digest)
        assert SECRET not in anchor
        # Nor history: the same state is the same anchor however it was reached.
        assert anchor == anchor_text(turn_at("You see an egg.", ("go",), step=3), contents, digest=digest)

    def test_the_order_of_actions_does_not_matter_but_the_actions_do(self) -> None:
        one, same, other = (
            anchor_text(turn_at("Nothing happens.", actions), "admissible", digest=True)
            for actions in (("go", "take"), ("take", "go"), ("go",))
        )
        assert one == same != other
        # No actions known is not the same as an observation that ends like one.
        assert anchor_text(turn_at("a b", None), "admissible", digest=True) != anchor_text(
            turn_at("a", ("b",)), "admissible", digest=True
        )

    def test_a_turn_without_state_is_named(self) -> None:
        bare = Turn((1,), (2,), None, None, (False,), "seen", "", "", None, True, 0.0, 1, 0)
        assert anchor_text(bare, "observation", digest=False) == "seen"
        with pytest.raises(ValueError, match="which actions were admissible"):
            anchor_text(bare, "admissible", digest=False)


class TestAnchorGroups:
    def test_equal_anchors_of_one_group(self) -> None:
        found = anchor_groups(["a", "b", "a", "a", "b"], [0, 0, 0, 1, 1])
        assert found.tolist() == [0, 1, 0, 2, 3]

    def test_similar_anchors(self) -> None:
        # "drawer 1 is open." and "drawer 2 is open.": 17 characters each, 16 match: 32 / 34 = 0.941.
        texts = ["drawer 1 is open.", "a shelf", "drawer 2 is open.", "drawer 1 is open."]
        assert anchor_groups(texts, [0] * 4, 0.94).tolist() == [0, 1, 0, 0]
        assert anchor_groups(texts, [0] * 4, 0.95).tolist() == [0, 1, 2, 0]
        assert anchor_groups(texts, [0, 0, 1, 1], 0.94).tolist() == [0, 1, 2, 2]

    def test_a_text_joins_the_first_cluster_whose_founder_it_matches(self) -> None:
        # Of 4 letters 3 match: 6 / 8. "abxy" matches the founder "abcx" no more than half; it founds its own.
        texts = ["abcd", "abcx", "abxy"]
        assert anchor_groups(texts, [0] * 3, 0.75).tolist() == [0, 0, 1]
        # In another order the middle one is the founder, and all are one.
        assert anchor_groups(["abcx", "abcd", "abxy"], [0] * 3, 0.75).tolist() == [0, 0, 0]

    @pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8])
    def test_equals_a_naive_loop(self, similarity: float) -> None:
        draw = np.random.default_rng(0)
        texts = ["".join(draw.choice(list("abc "), 12)) for _ in range(60)]
        groups = draw.integers(0, 2, 60).tolist()
        clusters: list[tuple[int, str]] = []
        expected = []
        for text, group in zip(texts, groups, strict=True):
            matches = [
                number
                for number, (label, founder) in enumerate(clusters)
                if label == group
                and SequenceMatcher(None, founder, text, autojunk=False).ratio() >= similarity
            ]
            if not matches:
                matches = [len(clusters)]
                clusters.append((group, text))
            expected.append(matches[0])
        assert anchor_groups(texts, groups, similarity).tolist() == expected
        assert len(clusters) < 60

    def test_long_texts_that_differ_in_a_word_are_similar(self) -> None:
        # difflib's default heuristic gives such texts, whose letters are all frequent, a lower ratio.
        long = "You see a mug 1, and a plate 2, and a pan 3. " * 8
        assert anchor_groups([long, long.replace("pan 3", "pot 4", 1)], [0, 0], 0.95).tolist() == [0, 0]


class TestStepAdvantages:
    def test_by_hand(self) -> None:
        # Anchor 0: returns 4 and 0, mean 2, sample std sqrt 8. Anchor 1: alone. Anchor 2: no spread.
        returns, anchors = [4.0, 7.0, 0.0, 3.0, 3.0], [0, 1, 0, 2, 2]
        plain = step_advantages(returns, anchors, scale="none")
        assert plain.values.tolist() == [2.0, 0.0, -2.0, 0.0, 0.0]
        assert (plain.alone, plain.group_size) == (1 / 5, 5 / 3)
        scaled = step_advantages(returns, anchors, scale="group", epsilon=0.0).values
        assert scaled == pytest.approx([2 / math.sqrt(8), 0.0, -2 / math.sqrt(8), 0.0, 0.0])

    def test_failures_are_in_no_anchor_group(self) -> None:
        found = step_advantages([4.0, 0.0, -99.0], [0, 0, 0], counted=[True, True, False], scale="none")
        assert found.values.tolist() == [2.0, -2.0, 0.0]
        assert (found.alone, found.group_size) == (0.0, 2.0)
        nothing = step_advantages([1.0], [0], counted=[False])
        assert (nothing.values.tolist(), nothing.alone, nothing.group_size) == ([0.0], 0.0, 0.0)

    def test_leaving_out_a_trajectory_leaves_out_all_its_visits(self) -> None:
        # Trajectory 0 came by twice (returns 1 and 3), trajectory 1 once (8): 1 - 8, 3 - 8, 8 - 2.
        found = step_advantages(
            [1.0, 3.0, 8.0], [0, 0, 0], scale="none", baseline="leave_one_out", owners=[0, 0, 1]
        )
        assert found.values.tolist() == [-7.0, -5.0, 6.0]
        # A loop of one trajectory alone compares with nobody.
        loop = step_advantages([1.0, 3.0], [0, 0], scale="none", baseline="leave_one_out", owners=[0, 0])
        assert loop.values.tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("scale", ["group", "none"])
    def test_equals_a_naive_loop(self, scale: str) -> None:
        draw = np.random.default_rng(1)
        turns = 200
        returns, anchors = draw.normal(size=turns), draw.integers(0, 40, turns)
        counted = draw.random(turns) < 0.8
        found = step_advantages(returns, anchors, counted=counted, scale=scale)
        sizes = []
        for turn in range(turns):
            peers = [returns[k] for k in range(turns) if anchors[k] == anchors[turn] and counted[k]]
            if not counted[turn] or len(peers) == 1:
                assert found.values[turn] == 0.0
            else:
                mean = sum(peers) / len(peers)
                std = math.sqrt(sum((peer - mean) ** 2 for peer in peers) / (len(peers) - 1))
                expected = (returns[turn] - mean) / (std + 1e-4 if scale == "group" else 1.0)
                assert found.values[turn] == pytest.approx(expected, rel=1e-12)
            sizes += [len(peers)] if counted[turn] else []
        assert found.alone == pytest.approx(sum(size == 1 for size in sizes) / len(sizes))
        assert found.group_size == pytest.approx(len(sizes) / len(set(anchors[counted].tolist())))
