"""How an agent is run: what its prompt shows, and where, and for how long an episode may go on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from skill0.context import PageStyle, PromptTemplate, template_named
from skill0.errors import ConfigError

PLACES = ("image", "text", "none")
SKILL_FORMS = ("full", "brief")
AGENT_FILE = "agent.json"


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

    def save(self, folder: str | Path) -> None:
        """Write `agent.json` into a model's folder, so that it is evaluated as it was trained.

        Raises:
            ConfigError: the template is one of your own, which JSON cannot name.
        """
        if not isinstance(self.template, str):
            raise ConfigError(f"a template of your own ({self.template.name!r}) cannot be saved by name")
        (Path(folder) / AGENT_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: str | Path) -> AgentSettings:
        """Read what `save` wrote.

        Raises:
            ConfigError: there is no such file, or it holds other settings than these.
        """
        path = Path(folder) / AGENT_FILE
        if not path.is_file():
            raise ConfigError(f"{path} is missing: the folder does not say how its policy was prompted")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return AgentSettings(**{**content, "style": PageStyle(**content["style"])})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: not the settings of an agent: {error!r}") from error
