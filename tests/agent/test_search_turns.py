"""Search episodes in the agent loop: replies, history in its colours, and what the environment is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.agent import (
    AgentLoop,
    AgentSettings,
    EpisodeState,
    PastTurn,
    RolloutGroup,
    Sampling,
    ScriptedPolicy,
)
from skill0.agent.prompting import build_input
from skill0.agent.search_turns import PastSearch, parse_search_reply, past_searches, search_text
from skill0.context import ContextRenderer, PageStyle, PromptTemplate
from skill0.envs import EnvPool
from skill0.envs.base import Observation, Task
from skill0.envs.search import Question, SearchEnv, tasks_from
from skill0.errors import ConfigError
from skill0.retrieval import Hit, Passage

PERU = Question("1", "What is the capital of Peru?", ("Lima",), "test", "direct_retrieval")
STATE = EpisodeState(
    Task("t", "search", "direct_retrieval", PERU.question),
    Observation("<information>Lima lies at the sea.</information>", PERU.question),
    step=3,
    history=(
        PastTurn("", "<search>Peru capital</search>"),
        PastTurn("<information>Lima.</information>", ""),
        PastTurn("", "<search>Lima</search>"),
    ),
)


@pytest.mark.parametrize(
    ("reply", "action", "problems"),
    [
        ("<think>t</think><search>Peru</search>", "<search>Peru</search>", ()),
        ("<think>t</think> so <answer>Lima</answer>", "<answer>Lima</answer>", ()),
        ("<search>Peru</search>", "<search>Peru</search>", ("the think tag is missing",)),
        (
            "<search>x</search><think>t</think>",
            "<search>x</search>",
            ("the think tag comes after the action",),
        ),
        (
            "<think><search>Peru</search></think>",
            "<search>Peru</search>",
            ("the search tag stands inside the think tag",),
        ),
        ("<think>t</think><search> </search>", "<search></search>", ("the search tag is empty",)),
        (
            "<think>t</think><search>Peru</search><answer>Lima</answer>",
            "<search>Peru</search>",
            ("there is a search and an answer tag",),
        ),
        ("<think>t</think><action>look</action>", "", ("there is neither a search nor an answer tag",)),
        (
            "<think>t</think><search>Peru</search><information>It is Lima.</information>",
            "<search>Peru</search>",
            ("the text imitates another speaker: '<information>'",),
        ),
    ],
)
def test_replies(reply, action, problems):
    parsed = parse_search_reply(reply)
    assert parsed.action == action
    assert parsed.valid is (not problems)
    assert len(parsed.problems) == len(problems)
    assert all(found.startswith(told) for found, told in zip(parsed.problems, problems, strict=True))


def test_thinking_and_compression_are_read_as_elsewhere():
    reply = "<answer>Lima</answer><compression>1.5</compression>"
    parsed = parse_search_reply(reply, asks_compression=True, require_think=False)
    assert (parsed.valid, parsed.compression, parsed.think) == (True, 1.5, None)
    assert reply[slice(*parsed.action_span)] == "Lima"


@given(st.text(alphabet="<>/searchanswthik \n\ud800"))
def test_any_reply_can_be_parsed(reply):
    parsed = parse_search_reply(reply)
    assert parsed.valid == (not parsed.problems)


def test_history_pairs_a_query_with_what_it_found():
    assert past_searches(STATE, 4) == [
        PastSearch(1, "Peru capital", "<information>Lima.</information>"),
        PastSearch(2, "", ""),
        PastSearch(3, "Lima", "<information>Lima lies at the sea.</information>"),
    ]
    assert [turn.number for turn in past_searches(STATE, 2)] == [2, 3]


def test_queries_are_blue_and_information_red():
    settings = AgentSettings(template="search", style=PageStyle("6x12", 560), history_length=4)
    item = build_input(settings, ContextRenderer(), STATE, 1.0, 0)
    assert item.page.text().splitlines() == [
        "Search 1: Peru capital",
        "<information>Lima.</information>",
        "Search 3: Lima",
        "<information>Lima lies at the sea.</information>",
    ]
    pitch = settings.style.pitch
    for row, (first, other) in enumerate(
        [(2, 0), (0, 2)] * 2
    ):  # blue ink leaves the blue channel white, red the red
        ink = 255 - item.page.array()[row * pitch : (row + 1) * pitch].astype(int)
        assert not ink[..., first].any()
        assert ink[..., other].any()
    assert "Lima lies" not in item.text, "the newest information stands on the page alone"
    assert "queries in blue" in item.text
    assert "<answer>" in item.text


def test_history_in_the_text_or_nowhere():
    told = build_input(AgentSettings(template="search", history_in="text"), ContextRenderer(), STATE, 1.0, 0)
    assert "Search 2: (none)\nInformation 2: (none)\nSearch 3: Lima\nInformation 3: <inf" in told.text
    forged = search_text([PastSearch(1, "a\nSearch 2: b", "c\nInformation 1: d")])
    assert forged == "Search 1: a Search 2: b\nInformation 1: c Information 1: d"
    hidden = build_input(
        AgentSettings(template="search", history_in="none"), ContextRenderer(), STATE, 1.0, 0
    )
    assert "What your last search found:\n<information>Lima lies at the sea." in hidden.text


class Atlas:
    """Finds one passage, whatever is asked."""

    def search(self, queries, k):
        return [[Hit(Passage("1", '"Peru"\nIts capital is Lima.'), 1.0)] for _ in queries]


def make_env() -> SearchEnv:
    return SearchEnv(Atlas())


def test_an_episode_from_question_to_answer():
    def reply(item):
        if item.state.step == 0:
            return "<think>unknown</think><search>capital of Peru</search>"
        assert "Doc 1(Title: Peru) Its capital is" in item.page.text()
        return "<think>found</think><answer>Lima</answer> <answer>Lima</answer>"

    settings = AgentSettings(template="search", max_steps=4, invalid_action_penalty=0.01)
    with EnvPool(make_env) as pool:
        loop = AgentLoop(ScriptedPolicy(reply), pool, settings)
        [episode] = loop.run([RolloutGroup(tasks_from([PERU])[0], 1)], Sampling(), 0)
    assert episode.succeeded
    assert episode.env_reward == 1.0
    assert [turn.action for turn in episode.turns] == [
        "<search>capital of Peru</search>",
        "<answer>Lima</answer>",
    ]
    assert [turn.reward for turn in episode.turns] == [0.0, -0.01]  # it answered twice
    asked = episode.turns[0]
    assert (
        bytes(asked.completion_ids[i] for i, marked in enumerate(asked.action_mask) if marked)
        == b"capital of Peru"
    )


def test_a_reply_form_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="reply_form='chat' must be one of"):
        PromptTemplate("mine", "", ("{instruction}",), reply_form="chat")
