"""Prompt templates: what the policy reads beside the page.

A template is a few sections of text with named fields. A section whose field has nothing to say is left out,
so one template serves every setting: skills and history in the image, in the text, or nowhere. Values are
put in once and never read as templates, whatever braces they hold. The wording is this project's own; the
fields are SKILL0's: instruction, step count, history, observation, admissible actions, reply format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from skill0.errors import ConfigError

_FIELD = re.compile(r"\{(\w*)\}")

FIELDS = frozenset(
    {
        "instruction",
        "observation",
        "status",
        "admissible",
        "step",
        "history_length",
        "skills_text",
        "history_text",
        "image",
        "compression",
    }
)
"""Names a template may use: the fields of `PromptFields`, the sentences on the image and on compression."""


REPLY_FORMS = ("action", "search")


@dataclass(frozen=True)
class PromptFields:
    """What fills a template at one turn.

    `step` is the number of the turn, from 1; `history_length` how many past steps the policy is shown.
    `skills_text` and `history_text` are empty unless they are to stand in the text; `skills_in_image` and
    `history_in_image` say what the page of this turn really shows.
    """

    instruction: str
    observation: str
    step: int = 1
    history_length: int = 0
    admissible: tuple[str, ...] | None = None
    status: str = ""
    skills_text: str = ""
    history_text: str = ""
    skills_in_image: bool = False
    history_in_image: bool = False


@dataclass(frozen=True)
class PromptTemplate:
    """How a prompt is worded. Raises `ConfigError` for a field that does not exist.

    `user` are sections joined by `separator`; fields stand in braces. `image_of_skills`, `image_of_history`
    are the sentences that `{image}` consists of when the page shows them; `compression_request` is what
    `{compression}` says when `asks_compression`. `admissible_form` words one admissible action and
    `admissible_separator` joins them. `reply_form` is one of `REPLY_FORMS`: whether replies give an action
    in an action tag, or search and answer in tags of these names.
    """

    name: str
    system: str
    user: tuple[str, ...]
    separator: str = "\n\n"
    asks_compression: bool = False
    image_of_skills: str = ""
    image_of_history: str = ""
    compression_request: str = ""
    admissible_form: str = "{}"
    admissible_separator: str = "\n"
    reply_form: str = "action"

    def __post_init__(self) -> None:
        if self.reply_form not in REPLY_FORMS:
            raise ConfigError(
                f"prompt template {self.name!r}: reply_form={self.reply_form!r} must be one of {REPLY_FORMS}"
            )
        for section in (self.system, *self.user):
            unknown = set(_FIELD.findall(section)) - FIELDS
            if unknown:
                raise ConfigError(
                    f"prompt template {self.name!r} uses the unknown field {{{sorted(unknown)[0]}}};"
                    f" fields are {', '.join(sorted(FIELDS))}"
                )
        if self.asks_compression and not any("{compression}" in part for part in (self.system, *self.user)):
            raise ConfigError(
                f"prompt template {self.name!r} asks for compression but has no {{compression}} field"
            )


def fill(template: PromptTemplate, fields: PromptFields) -> tuple[str, str]:
    """The system and the user text of one turn."""
    values = _values(template, fields)
    sections = (_fill_section(section, values) for section in template.user)
    user = template.separator.join(section for section in sections if section)
    return _fill_section(template.system, values), user


def _values(template: PromptTemplate, fields: PromptFields) -> dict[str, str]:
    """The text of every field; empty when there is nothing to say."""
    image = [template.image_of_skills] * fields.skills_in_image
    image += [template.image_of_history] * fields.history_in_image
    admissible = (template.admissible_form.replace("{}", action) for action in fields.admissible or ())
    return {
        "instruction": fields.instruction.strip(),
        "observation": fields.observation.strip(),
        "status": fields.status.strip(),
        "admissible": template.admissible_separator.join(admissible),
        "step": str(fields.step),
        "history_length": str(fields.history_length or ""),
        "skills_text": fields.skills_text.strip(),
        "history_text": fields.history_text.strip(),
        "image": " ".join(filter(None, image)),
        "compression": template.compression_request if template.asks_compression else "",
    }


def _fill_section(section: str, values: Mapping[str, str]) -> str:
    """The section with its fields filled in one pass; empty when a field it names is empty."""
    if any(not values[name] for name in _FIELD.findall(section)):
        return ""
    return _FIELD.sub(lambda match: values[match[1]], section)


ALFWORLD = PromptTemplate(
    name="alfworld",
    system="You control a robot in a household that is described in words. You act one command at a time.",
    user=(
        "Your task: {instruction}\nThis is step {step}.",
        "{image}",
        "Skills learned in households like this one:\n{skills_text}",
        "What happened before:\n{history_text}",
        "Steps shown to you: the last {history_length}.",
        "You now observe:\n{observation}",
        "State: {status}",
        "Commands that are possible now:\n{admissible}",
        "First think, between <think> and </think>: what does the task still need, where is it likely to be,"
        " and which command brings you closer? Then give exactly one of the possible commands, word for word,"
        " between <action> and </action>.",
        "{compression}",
    ),
    image_of_skills="The image holds skills, in black, that were learned in households like this one.",
    image_of_history="The image holds what happened so far, oldest first: what you observed in blue, what you"
    " did in red. Where it says [.. n earlier ..], older steps were left out.",
    compression_request="Last, choose how small the text of your next image may be: a factor of 1 keeps its"
    " size, larger factors cost fewer tokens but are harder to read. Give one number from 1 to 5 between"
    " <compression> and </compression>.",
    admissible_form="- {}",
)
"""For Qwen2.5-VL-Instruct models."""

HOUSEHOLD = PromptTemplate(
    name="household",
    system="",
    user=(
        "know: {skills_text}",
        "before: {history_text}",
        "task: {instruction}",
        "{status}",
        "see: {observation}",
        "{compression}",
    ),
    separator=" | ",
    compression_request="factor",
    admissible_separator=" ; ",
)
"""As few words as possible, for a tiny policy with a small vocabulary. Without the admissible commands: they
would be most of the prompt, and a policy that was warmed up forms them itself."""

OFFICIAL = PromptTemplate(
    name="official",
    system="",
    user=(
        "know: {skills_text}",
        "before: {history_text}",
        "task: {instruction}",
        "{status}",
        "{compression}",
    ),
    separator=" | ",
    compression_request="factor",
)
"""For a tiny policy in official games, whose rooms are long to tell: without the observation, of which the
status line holds everything, the commands that were refused too."""

SEARCH = PromptTemplate(
    name="search",
    system="You answer questions. You can search a collection of passages before you answer.",
    user=(
        "Your question: {instruction}\nThis is step {step}.",
        "{image}",
        "Skills learned with questions like this one:\n{skills_text}",
        "What you searched for and found:\n{history_text}",
        "Steps shown to you: the last {history_length}.",
        "What your last search found:\n{observation}",
        "First think, between <think> and </think>: what is known already, and what is still missing? Then do"
        " one thing. If something is missing, give a query between <search> and </search>; the passages it"
        " finds will be shown to you. If you know the answer, give it between <answer> and </answer>, in as"
        " few words as possible and without an explanation. Never do both.",
        "{compression}",
    ),
    image_of_skills="The image holds skills, in black, that were learned with questions like this one.",
    image_of_history="The image holds your searches so far, oldest first: queries in blue, the information"
    " they found in red. Where it says [.. n earlier ..], older ones were left out.",
    compression_request=ALFWORLD.compression_request,
    reply_form="search",
)
"""For Qwen2.5-VL-Instruct models that search. The fields are those of SKILL0's search prompts."""

QUESTION = replace(HOUSEHOLD, name="question", reply_form="search")
"""As few words as possible, for a tiny policy that searches."""

TEMPLATES = (ALFWORLD, HOUSEHOLD, OFFICIAL, SEARCH, QUESTION)


def template_named(name: str) -> PromptTemplate:
    """The template of that name. Raises `ConfigError` when there is none."""
    for template in TEMPLATES:
        if template.name == name:
            return template
    raise ConfigError(
        f"there is no prompt template {name!r}; choose one of {', '.join(t.name for t in TEMPLATES)}"
    )
