"""Prompt templates: what is said in which setting, and that values are never read as templates."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.context import (
    ALFWORLD,
    HOUSEHOLD,
    OFFICIAL,
    PromptFields,
    PromptTemplate,
    fill,
    template_named,
)
from skill0.errors import ConfigError

FIELDS = PromptFields(
    instruction="put a clean mug in cabinet.",
    observation="You are in the middle of a room.",
    admissible=("go to sink 1", "look"),
    status="holding: nothing",
)


def test_the_household_prompt_in_full():
    _, user = fill(HOUSEHOLD, FIELDS)
    assert user == (
        "task: put a clean mug in cabinet. | holding: nothing | see: You are in the middle of a room."
    )


def test_the_official_prompt_leaves_out_what_the_status_tells():
    assert fill(OFFICIAL, FIELDS)[1] == "task: put a clean mug in cabinet. | holding: nothing"


def test_the_alfworld_prompt_tells_the_task_the_commands_and_the_reply_format():
    system, user = fill(ALFWORLD, replace(FIELDS, step=4, history_length=3))
    assert "household" in system
    for told in ("put a clean mug", "step 4", "the last 3", "middle of a room", "- go to sink 1\n- look"):
        assert told in user
    for tag in ("<think>", "</think>", "<action>", "</action>"):
        assert tag in user
    assert "<compression>" not in user
    assert "image" not in user


def test_compression_is_asked_for_by_a_switch():
    _, user = fill(replace(ALFWORLD, asks_compression=True), FIELDS)
    assert "<compression>" in user


def test_what_the_image_shows_is_said_and_nothing_else():
    _, skills_only = fill(ALFWORLD, replace(FIELDS, skills_in_image=True))
    assert "image holds skills" in skills_only
    assert "blue" not in skills_only
    _, both = fill(ALFWORLD, replace(FIELDS, skills_in_image=True, history_in_image=True))
    assert "image holds skills" in both
    assert "blue" in both
    assert "red" in both


def test_skills_and_history_may_stand_in_the_text_instead():
    for template in (ALFWORLD, HOUSEHOLD):
        _, user = fill(template, replace(FIELDS, skills_text="mug: cabinet", history_text="you looked"))
        assert "mug: cabinet" in user
        assert "you looked" in user


def test_without_a_list_of_commands_none_is_promised():
    _, user = fill(ALFWORLD, replace(FIELDS, admissible=None))
    assert "Commands that are possible now" not in user


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_values_are_never_read_as_templates(instruction, observation, admissible):
    fields = replace(FIELDS, instruction=instruction, observation=observation, admissible=tuple(admissible))
    for template in (ALFWORLD, HOUSEHOLD):
        _, user = fill(template, fields)
        assert instruction.strip() in user
        assert observation.strip() in user


def test_braces_in_values_stay_as_they_are():
    fields = replace(FIELDS, instruction="{observation} {0} {", observation="} {instruction!r} \\1")
    _, user = fill(HOUSEHOLD, fields)
    assert user == "task: {observation} {0} { | holding: nothing | see: } {instruction!r} \\1"
    _, user = fill(ALFWORLD, replace(FIELDS, admissible=("{}", "{observation}")))
    assert "- {}\n- {observation}\n" in user


def test_an_unknown_field_is_refused_when_the_template_is_made():
    with pytest.raises(ConfigError, match=r"unknown field \{mood\}"):
        PromptTemplate("x", "", ("You feel {mood}.",))


def test_asking_for_compression_needs_a_place_to_do_so():
    with pytest.raises(ConfigError, match="compression"):
        PromptTemplate("x", "", ("{instruction}",), asks_compression=True)


def test_templates_by_name():
    assert template_named("alfworld") is ALFWORLD
    assert template_named("household") is HOUSEHOLD
    with pytest.raises(ConfigError, match="alfworld, household, official"):
        template_named("kitchen")
