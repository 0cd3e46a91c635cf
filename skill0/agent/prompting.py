"""From an episode's state to the prompt of its next turn: template, page, and what stands where.

SKILL0 (arXiv 2604.02268), equation 2: skills and history become one page; section 4 of the reference tells
what the text says. Skills and history can each stand in the image, in the text, or nowhere. Left out: how a
page or a template looks (see `skill0.context`). Tests: tests/agent/test_prompting.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skill0.agent.policy import EpisodeState, PastTurn, PolicyInput
from skill0.agent.search_turns import past_searches, search_segments, search_text
from skill0.agent.settings import AgentSettings
from skill0.context import ContextRenderer, PromptFields, Segment, fill
from skill0.errors import ConfigError
from skill0.skills.skill import Skill, SkillFile

# In the trial layout of a tiny policy (cell 7x14, 392 pixels) a visual token is four characters wide: columns
# at multiples of four start on a token, and two facts share a line.
_COLUMN_STEP, _MIN_KEY_WIDTH, _MIN_FACT_WIDTH = 4, 12, 28


def build_input(
    settings: AgentSettings, renderer: ContextRenderer, state: EpisodeState, compression: float, seed: int
) -> PolicyInput:
    """The prompt of one turn. `compression` is the factor asked for with the last reply (1 at first).

    Raises:
        RenderError: the skills do not fit the page's limit on visual tokens.
    """
    style = settings.style.compressed(compression) if compression > 1 else settings.style
    shown = settings.history_length if settings.history_in != "none" else 0
    history = _history(state, shown, settings.prompt_template.reply_form)
    skills = state.skills if settings.skills_in != "none" else ()
    segments: list[Segment] = []
    if settings.skills_in == "image":
        segments += skill_segments(skills, settings.skill_form, style.columns)
    if settings.history_in == "image":
        segments += history.segments
    system, text = fill(
        settings.prompt_template,
        PromptFields(
            instruction=state.observation.instruction,
            observation=history.observation,
            step=state.step + 1,
            history_length=history.length,
            admissible=state.observation.admissible,
            status=state.observation.status,
            skills_text=skills_text(skills, settings.skill_form) if settings.skills_in == "text" else "",
            history_text=history.text if settings.history_in == "text" else "",
            skills_in_image=settings.skills_in == "image" and bool(skills),
            history_in_image=settings.history_in == "image" and history.length > 0,
        ),
    )
    # Every prompt of a run has an image or none has: without skills and history the page is blank.
    page = renderer.page(segments, style) if settings.shows_page else None
    return PolicyInput(system, text, page, seed, state)


@dataclass(frozen=True)
class _History:
    """The steps that a prompt shows, how many they are, and the observation that stands beside them."""

    length: int
    segments: list[Segment]
    text: str
    observation: str


def _history(state: EpisodeState, length: int, reply_form: str) -> _History:
    """The last `length` steps, as episodes of this form tell them."""
    if reply_form == "search":
        turns = past_searches(state, length) if length else []
        # The newest information is part of what was searched, wherever that is shown.
        beside = state.observation.text if not length else ""
        return _History(len(turns), search_segments(turns), search_text(turns), beside)
    past = state.history[-length:] if length else ()
    return _History(len(past), history_segments(past), history_text(past), state.observation.text)


def blank_input(settings: AgentSettings, renderer: ContextRenderer) -> PolicyInput:
    """An empty prompt of the same kind (with a page, if prompts have one): padding for a generate call."""
    return PolicyInput("", "", renderer.page([], settings.style) if settings.shows_page else None)


def skill_segments(files: Sequence[SkillFile], form: str = "full", columns: int = 65) -> list[Segment]:
    """One segment per skill file, in order.

    "full": the file's title, then one line per skill: title, principle, when to apply. "brief": a table of
    the skills' briefs of the form `key: value`, with keys and values in columns that are the same for all
    files given, and several facts on a line where `columns` characters have room; a skill without such a
    brief takes a line of its own (its brief, or title and principle if it has none), so that no skill in
    context goes unseen.
    """
    if form == "full":
        return [Segment("skill", "\n".join([file.title, *map(_sentence, file.skills)])) for file in files]
    if form != "brief":
        raise ConfigError(f"a skill form must be 'full' or 'brief', not {form!r}")
    facts = [fact for file in files for skill in file.skills if (fact := split_brief(skill))]
    key_width = max([_MIN_KEY_WIDTH, *(_to_column(len(key)) for key, _ in facts)])
    fact_width = max([_MIN_FACT_WIDTH, *(key_width + _to_column(len(value)) for _, value in facts)])
    per_line = max(1, columns // fact_width)
    return [Segment("skill", _table(file, key_width, fact_width, per_line)) for file in files]


def skills_text(files: Sequence[SkillFile], form: str = "full") -> str:
    """The skills as plain text: "full" as in `skill_segments`, "brief" one brief a line, unaligned."""
    if form == "full":
        return "\n\n".join(segment.text for segment in skill_segments(files))
    if form != "brief":
        raise ConfigError(f"a skill form must be 'full' or 'brief', not {form!r}")
    return "\n".join(_brief_line(skill) for file in files for skill in file.skills)


def history_segments(history: Sequence[PastTurn]) -> list[Segment]:
    """Observation and action of every past turn, oldest first. A turn without an action shows none."""
    segments = []
    for turn in history:
        segments.append(Segment("observation", turn.observation))
        if turn.action:
            segments.append(Segment("action", turn.action))
    return segments


def history_text(history: Sequence[PastTurn]) -> str:
    """Past turns as plain text, two labelled lines a turn. Line breaks inside an observation or action are
    taken out, so that no text can pass for a line of its own."""
    lines = []
    for turn in history:
        lines.append(f"Observation: {' '.join(turn.observation.split())}")
        lines.append(f"Action: {' '.join(turn.action.split()) or '(none)'}")
    return "\n".join(lines)


def split_brief(skill: Skill) -> tuple[str, str] | None:
    """Key and value of a brief of the form `key: value`; None for any other."""
    key, colon, value = skill.brief.partition(":")
    key, value = key.strip(), value.strip()
    return (key, value) if colon and key and value else None


def _sentence(skill: Skill) -> str:
    when = f" When to apply: {skill.when_to_apply}" if skill.when_to_apply else ""
    return f"- {skill.title}: {skill.principle}{when}"


def _brief_line(skill: Skill) -> str:
    return skill.brief or f"{skill.title}: {skill.principle}"


def _table(file: SkillFile, key_width: int, fact_width: int, per_line: int) -> str:
    """The briefs of one file: facts packed into lines, other skills each on a line after them."""
    facts, others = [], []
    for skill in file.skills:
        fact = split_brief(skill)
        if fact:
            facts.append(f"{fact[0]:<{key_width}}{fact[1]}")
        else:
            others.append(_brief_line(skill))
    lines = [facts[start : start + per_line] for start in range(0, len(facts), per_line)]
    return "\n".join(["".join(f"{fact:<{fact_width}}" for fact in line).rstrip() for line in lines] + others)


def _to_column(length: int) -> int:
    """The first column, a multiple of four, that leaves a blank after `length` characters."""
    return -(-(length + 1) // _COLUMN_STEP) * _COLUMN_STEP
