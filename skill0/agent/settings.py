"""How an agent is run: what its prompt shows, and where, and for how long an episode may go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from skill0.context import PageStyle, PromptTemplate, template_named
from skill0.errors import ConfigError

PLACES = ("image", "text", "none")
SKILL_FORMS = ("full", "brief")


@dataclass(frozen=True)
class AgentSettings:
    """Settings of the agent loop; the same for training, evaluation and warm-up.

    Args:
        template (`str`, *optional*, defaults to `"alfworld"`):
            Name of the prompt template, or a template of one's own.
        style (`PageStyle`, *optional*):
            The look of the page.
        skills_in (`str`, *optional*, defaults to `"image"`):
            Where skill files are shown: "image", "text" or "none".
        history_in (`str`, *optional*, defaults to `"image"`):
            Where the steps so far are shown: "image", "text" or "none".
        skill_form (`str`, *optional*, defaults to `"full"`):
            "full" shows title, principle and when to apply; "brief" a table of the skills' briefs.
        max_steps (`int`, *optional*, defaults to `50`):
            Turns after which an episode ends as a failure (the environment may end it before).
        history_length (`int`, *optional*, defaults to `50`):
            How many of the last steps are shown.
        invalid_action_penalty (`float`, *optional*, defaults to `0.1`):
            Taken from the reward of a turn whose reply is invalid.
        require_think (`bool`, *optional*, defaults to `True`):
            Whether a reply without reasoning is invalid.

    Raises:
        ConfigError: a value out of range.
    """

    template: str | PromptTemplate = "alfworld"
    style: PageStyle = field(default_factory=PageStyle)
    skills_in: str = "image"
    history_in: str = "image"
    skill_form: str = "full"
    max_steps: int = 50
    history_length: int = 50
    invalid_action_penalty: float = 0.1
    require_think: bool = True

    def __post_init__(self) -> None:
        for name in ("skills_in", "history_in"):
            if getattr(self, name) not in PLACES:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be one of {PLACES}")
        if self.skill_form not in SKILL_FORMS:
            raise ConfigError(f"skill_form={self.skill_form!r} must be one of {SKILL_FORMS}")
        if self.max_steps < 1:
            raise ConfigError(f"max_steps={self.max_steps} must be at least 1")
        if self.history_length < 1:
            raise ConfigError(
                f"history_length={self.history_length} must be at least 1; history_in='none' shows no history"
            )
        if not (math.isfinite(self.invalid_action_penalty) and self.invalid_action_penalty >= 0):
            raise ConfigError(f"invalid_action_penalty={self.invalid_action_penalty} must be 0 or more")
        _ = self.prompt_template  # an unknown name is an error now, not at the first prompt

    @property
    def prompt_template(self) -> PromptTemplate:
        return template_named(self.template) if isinstance(self.template, str) else self.template

    @property
    def shows_page(self) -> bool:
        """Whether prompts carry an image at all."""
        return "image" in (self.skills_in, self.history_in)
