"""From replies to actions, by the published rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.envs.search.projection import project, read_action

BOTH, NONE = "there is a search and an answer tag", "there is neither a search nor an answer tag"


@pytest.mark.parametrize(
    ("reply", "action", "problem"),
    [
        ("<think>t</think><search>capital of Peru</search>", "<search>capital of Peru</search>", ""),
        ("<answer> Lima\n</answer>", "<answer>Lima</answer>", ""),
        ("<SEARCH>x</Search>", "<search>x</search>", ""),
        ("<search>a\n  b</search> and more", "<search>a b</search>", ""),
        ("nothing", "", NONE),
        ("<search>never closed", "", NONE),
        ("<answer>Lima</search>", "", NONE),
        # Cut after the first search: the answer is not reached, and the reply is invalid, yet it searches.
        ("<search>q</search><answer>Lima</answer>", "<search>q</search>", BOTH),
        # The cut falls at </search> even when an answer comes before; a search is taken first.
        ("<answer>Lima</answer><search>q</search>", "<search>q</search>", BOTH),
        ("<search>a</search><search>b</search>", "<search>a</search>", "the search tag is repeated"),
        ("<answer>a</answer><answer>b</answer>", "<answer>a</answer>", "the answer tag is repeated"),
        # A tag that is only opened counts, too.
        ("<answer>Lima</answer> or <search>", "<answer>Lima</answer>", BOTH),
        ("<search><answer>Lima</answer></search>", "<search><answer>Lima</answer></search>", BOTH),
    ],
)
def test_rules(reply, action, problem):
    projection = project(reply)
    assert projection.action == action
    assert ", ".join(projection.problems).startswith(problem)
    assert bool(projection.problems) == bool(problem)


def test_the_span_is_that_of_the_text():
    reply = "<think>a</think><search>  capital of Peru </search>"
    start, end = project(reply).span
    assert reply[start:end] == "capital of Peru"


@given(
    st.lists(st.sampled_from(["<search>", "</search>", "<answer>", "</answer>", "x", " ", "\n", "<"])).map(
        "".join
    )
)
def test_any_reply_gives_an_action_the_environment_can_read(reply):
    projection = project(reply)
    kind, text = read_action(projection.action)
    assert (kind == "") == (projection.action == "")
    if projection.span is not None:
        assert " ".join(reply[slice(*projection.span)].split()) == text
    if not projection.problems:
        assert reply.lower().count(f"<{kind}>") == 1


def test_the_outermost_tag_decides_what_an_action_is():
    assert read_action("<search><answer>Lima</answer></search>") == ("search", "<answer>Lima</answer>")
    assert read_action(" <answer></answer> ") == ("answer", "")
    assert read_action("<search>x</answer>") == ("", "")
    assert read_action("<answer>x</answer> y") == ("", "")
