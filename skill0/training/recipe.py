"""A recipe: the YAML file that describes one whole run, from games to final evaluation.

A recipe may name another as its `base`, and then says only how it differs: sections merge, scalars and lists
replace. Left out on purpose: bases of bases, interpolation, command-line overrides of single keys. The run
folder keeps the resolved copy, which says everything.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from skill0.envs.alfworld.households import HouseholdSettings
from skill0.envs.search.almanac.book import AlmanacSettings
from skill0.envs.search.engines import is_server
from skill0.envs.search.env import SearchSettings
from skill0.envs.search.facts.world import FactsSettings
from skill0.envs.search.set_names import split_name
from skill0.errors import ConfigError
from skill0.policy.adapters import LoraSettings
from skill0.policy.shipped import is_shipped
from skill0.policy.tiny import TinyPolicySettings
from skill0.retrieval.http_settings import HttpSettings
from skill0.training.corrections import CorrectionSettings
from skill0.training.demonstrations import DemonstrationSettings
from skill0.training.warmup import WarmupSettings

TINY = "tiny"
"""The `policy.model` that is built and warmed up in the run."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
"""Numbers to people and to Python that YAML 1.1 takes for text, like 3e-4."""

_STRICT = ConfigDict(extra="forbid")

_PATHS = (
    ("output_dir",),
    ("environment", "games"),
    ("environment", "search", "train"),
    ("environment", "search", "validation"),
    ("environment", "search", "heldout"),
    ("environment", "search", "corpus"),
    ("skills", "bank"),
    ("skills", "bank_for_games"),
    ("evaluation", "recorded"),
)
"""Keys whose values are paths or lists of them, relative to the file that names them."""


@dataclass(frozen=True)
class SearchSection:
    """Questions to search for, instead of games: those of the world of facts, or files of questions with a
    corpus.

    Args:
        facts (`FactsSettings`):
            The world of facts, when there are no files.
        train, validation, heldout (`tuple[str, ...]`, *optional*):
            Files of questions; `nq=FILE` where neither the rows nor the file's name say which set it is.
            Validation questions are taken out of the training data when not given.
        corpus (`str`, *optional*):
            The passages of the files' questions: a file, a folder with an index, or the URL of a search
            server (several with commas between them).
        server (`HttpSettings`):
            How search servers are asked: `form`, `patience_s`, `attempts`, ... (docs/retrieval_http.md).
        compiled (`bool`, *optional*, defaults to `False`):
            Search an index of BM25 by code compiled by numba: the same passages in less time.
        passages (`int`, *optional*, defaults to `3`):
            Passages that a search is answered with.
        information_form (`str`, *optional*, defaults to `"plain"`):
            How they are shown: "plain" or "json".
        published_scoring, published_types (`bool`, *optional*, defaults to `False`):
            Score episodes, and sort questions by task type, with the faults of the published code.
    """

    __pydantic_config__ = _STRICT

    facts: FactsSettings = field(default_factory=FactsSettings)
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    heldout: tuple[str, ...] = ()
    corpus: str | None = None
    server: HttpSettings = field(default_factory=HttpSettings)
    compiled: bool = False
    passages: int = 3
    information_form: str = "plain"
    published_scoring: bool = False
    published_types: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("train", "validation", "heldout", "corpus") if getattr(self, name)]
        if given and not (self.train and self.heldout and self.corpus):
            raise ConfigError(
                f"environment.search: files need all of train, heldout and corpus; given: {', '.join(given)}"
            )
        self.settings(1)

    def settings(self, max_steps: int) -> SearchSettings:
        """How questions are played. Raises `ConfigError` for a value out of range."""
        return SearchSettings(max_steps, self.passages, self.information_form, self.published_scoring)


@dataclass(frozen=True)
class EnvironmentSection:
    """Where the tasks come from.

    Args:
        games (`str`, *optional*):
            A packed store or a directory of official games. Generated households when not given.
        households (`HouseholdSettings`):
            The generated households.
        convention_seed (`int`, *optional*, defaults to `0`):
            The one convention that the training, validation and held-out households share.
        train_tasks, validation_tasks, heldout_tasks (`int`):
            How many tasks of each set; validation tasks are taken out of the training data.
        heldout_split (`str`, *optional*, defaults to `"valid_seen"`):
            The split of `games` that the held-out tasks come from.
        search (`SearchSection`, *optional*):
            Questions to search for, instead of games and households.
        almanac (`AlmanacSettings`, *optional*):
            Questions to the almanac, for a tiny policy, instead of all these.
    """

    __pydantic_config__ = _STRICT

    games: str | None = None
    households: HouseholdSettings = field(default_factory=HouseholdSettings)
    convention_seed: int = 0
    train_tasks: int = 96
    validation_tasks: int = 24
    heldout_tasks: int = 48
    heldout_split: str = "valid_seen"
    search: SearchSection | None = None
    almanac: AlmanacSettings | None = None

    def __post_init__(self) -> None:
        if sum(other is not None for other in (self.games, self.search, self.almanac)) > 1:
            raise ConfigError("environment: games, questions to search for, or the almanac; not several")
        for name in ("train_tasks", "validation_tasks", "heldout_tasks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"environment.{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class SkillsSection:
    """The skill bank. `bank_for_games` replaces `bank` when games come from a store: the conventions of
    generated households do not hold there."""

    __pydantic_config__ = _STRICT

    bank: str = ""
    bank_for_games: str | None = None
    allow_unmatched: bool = False


@dataclass(frozen=True)
class PolicySection:
    """The model to train.

    Args:
        model (`str`, *optional*, defaults to `"tiny"`):
            `"tiny"` builds the small Qwen2.5-VL of `skill0.policy.tiny` and runs the `warmup` section.
            `"shipped/household"` is such a policy, warmed up already, that comes with the package. Anything
            else is a path or a name on the Hugging Face Hub.
        model_for_games (`str`, *optional*):
            Replaces `model` when games come from a store.
        tiny (`TinyPolicySettings`):
            The shape of a tiny policy.
        lora (`LoraSettings`, *optional*):
            Train a LoRA adapter instead of all weights; `{}` takes its defaults. Needs the extra `peft`.
    """

    __pydantic_config__ = _STRICT

    model: str = TINY
    model_for_games: str | None = None
    tiny: TinyPolicySettings = field(default_factory=TinyPolicySettings)
    lora: LoraSettings | None = None


@dataclass(frozen=True)
class WarmupSection:
    """Imitation before reinforcement: what is shown, and how it is learnt. Beside a shipped policy it is not
    run; it says how such weights are made, for `skill0 warmup`. With `task_types`, generated households of
    these alone are demonstrated: the others are left to reinforcement. With `corrections` a policy of
    official games then plays some itself, and learns what the expert would have done (`corrections`)."""

    __pydantic_config__ = _STRICT

    demonstrations: DemonstrationSettings = field(default_factory=DemonstrationSettings)
    learning: WarmupSettings = field(default_factory=WarmupSettings)
    task_types: tuple[str, ...] = ()
    corrections: CorrectionSettings | None = None


@dataclass(frozen=True)
class EvaluationSection:
    """The evaluations around training.

    Args:
        temperature (`float`, *optional*, defaults to `0.0`):
            Sampling temperature of the evaluations before and after training; 0 is greedy.
        probe_every (`int`, *optional*, defaults to `0`):
            Optimizer steps between the with / without probes on the validation tasks; 0 for none.
        batch_size (`int`, *optional*, defaults to `48`):
            Episodes that run side by side. The result does not depend on it.
        recorded (`str`, *optional*):
            A record of the study (see `recorded`), shown beside the run's own results. Not with other games,
            skills or steps than the recipe's, which the study is not about.
    """

    __pydantic_config__ = _STRICT

    temperature: float = 0.0
    probe_every: int = 0
    batch_size: int = 48
    recorded: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One whole run. `training` holds fields of `Skill0Config`."""

    __pydantic_config__ = _STRICT

    output_dir: str
    seed: int = 0
    environment: EnvironmentSection = field(default_factory=EnvironmentSection)
    skills: SkillsSection = field(default_factory=SkillsSection)
    policy: PolicySection = field(default_factory=PolicySection)
    warmup: WarmupSection | None = None
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)

    def as_dict(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        for name in ("search", "almanac"):  # as recipes were before there were these, and so their digests
            if content["environment"][name] is None:
                del content["environment"][name]
        if content["policy"]["lora"] is None:
            del content["policy"]["lora"]
        return content

    @property
    def digest(self) -> str:
        """sha256 over everything but the output folder and the record that is shown beside the results: two
        runs with one digest are the same run."""
        evaluation = dataclasses.replace(self.evaluation, recorded=None)
        whole = dataclasses.replace(self, evaluation=evaluation).as_dict()
        content = {key: value for key, value in whole.items() if key != "output_dir"}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def load_recipe(
    path: str | Path,
    *,
    base: str | Path | None = None,
    games: str | None = None,
    skills: str | None = None,
    output_dir: str | None = None,
    seed: int | None = None,
    max_steps: int | None = None,
) -> Recipe:
    """Read and check a recipe. The other arguments replace the recipe's own; `base` replaces the base that
    the file names.

    Paths inside a file are relative to its folder, paths given as arguments to the current one.

    Raises:
        ConfigError: the file or its base is missing or not YAML, a key is unknown, a value is out of range.
            Names the file, the line and the key.
    """
    path = Path(path)
    text, content = _read(path)
    named = content.pop("base", None)
    if named is not None:
        content = _merged(_base_content(path, text, named, base), content)
    elif base is not None:
        raise ConfigError(f"{path}: names no base, so there is none to replace by {base}")
    recipe = _validated(path, text, content)
    return _with_overrides(recipe, path.parent, games, skills, output_dir, seed, max_steps)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """A recipe's text and what it says, not checked beyond being a mapping."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such recipe. Recipes that come with skill0 are in curricula/.")
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of sections, found {type(content).__name__}")
    return text, content


def _validated(path: Path, text: str, content: Mapping[str, Any]) -> Recipe:
    try:
        recipe = TypeAdapter(Recipe).validate_python(content)
    except ValidationError as error:
        raise ConfigError(_explain(path, text, error)) from error
    _check_training_keys(path, text, recipe.training)
    return recipe


def _base_content(path: Path, text: str, named: Any, instead: str | Path | None) -> dict[str, Any]:
    """What the base of the recipe at `path` says, its paths absolute. The base is a whole recipe and valid by
    itself, so a mistake that is found after merging is the upper recipe's."""
    where = f"{path}:{_line_of(text, ('base',))}: base"
    if not isinstance(named, str):
        raise ConfigError(f"{where}: the path of a recipe is wanted, found {named!r}")
    base = Path(instead) if instead is not None else path.parent / named
    if not base.is_file():
        raise ConfigError(f"{where}: there is no recipe {base}")
    base_text, content = _read(base)
    if "base" in content:
        raise ConfigError(f"{where}: {base} has a base itself; a base must be a whole recipe")
    _validated(base, base_text, content)
    for *sections, key in _PATHS:
        section = content
        for name in sections:
            section = section.get(name) or {}
        if section.get(key):
            section[key] = _resolved(base.parent, section[key])
    policy = content.get("policy") or {}
    for key in ("model", "model_for_games"):
        if policy.get(key) and _is_folder(base.parent, policy[key]):
            policy[key] = str((base.parent / policy[key]).resolve())
    return content


def _resolved(folder: Path, paths: Any) -> Any:
    """A path made absolute, or each file of questions, which alone are several. A URL is none."""
    if isinstance(paths, (list, tuple)):
        named = map(split_name, paths)
        return tuple(
            f"{name}={_resolved(folder, path)}" if name else _resolved(folder, path) for name, path in named
        )
    if is_server(paths):
        return paths
    return str((folder / paths).resolve())


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` on top of `lower`: mappings merge, everything else is replaced."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _is_folder(beside: Path, model: str) -> bool:
    """Whether a policy's name is that of a folder beside the recipe."""
    return model != TINY and not is_shipped(model) and (beside / model).is_dir()


def _with_overrides(
    recipe: Recipe,
    folder: Path,
    games: str | None,
    skills: str | None,
    output_dir: str | None,
    seed: int | None,
    max_steps: int | None,
) -> Recipe:
    def beside(value: str) -> str:
        return str((folder / value).resolve())

    environment, bank = recipe.environment, recipe.skills
    own_games = beside(environment.games) if environment.games else None
    chosen_games = str(Path(games).resolve()) if games else own_games
    chosen_bank = bank.bank_for_games if chosen_games and bank.bank_for_games else bank.bank
    if not chosen_bank and not skills:
        raise ConfigError("skills.bank: a recipe must name the skill bank to learn from")
    search = environment.search
    if search is not None:
        if games:
            raise ConfigError("games cannot replace questions: this recipe searches (environment.search)")
        paths = {name: getattr(search, name) for name in ("train", "validation", "heldout", "corpus")}
        search = dataclasses.replace(search, **{n: _resolved(folder, p) for n, p in paths.items() if p})
    policy = recipe.policy
    model = policy.model_for_games if chosen_games and policy.model_for_games else policy.model
    if _is_folder(folder, model):
        model = beside(model)
    training = dict(recipe.training) if max_steps is None else {**recipe.training, "max_steps": max_steps}
    as_recorded = chosen_games is None and skills is None and max_steps is None
    recorded = recipe.evaluation.recorded if as_recorded else None
    return dataclasses.replace(
        recipe,
        output_dir=str(Path(output_dir).resolve()) if output_dir else beside(recipe.output_dir),
        seed=recipe.seed if seed is None else seed,
        environment=dataclasses.replace(environment, games=chosen_games, search=search),
        skills=dataclasses.replace(
            bank, bank=str(Path(skills).resolve()) if skills else beside(chosen_bank), bank_for_games=None
        ),
        policy=dataclasses.replace(policy, model=model, model_for_games=None),
        training=training,
        evaluation=dataclasses.replace(recipe.evaluation, recorded=beside(recorded) if recorded else None),
    )


def _check_training_keys(path: Path, text: str, training: Mapping[str, Any]) -> None:
    from skill0.training.config import Skill0Config

    reserved = {"output_dir": "the recipe's own output_dir", "seed": "the recipe's own seed"}
    known = [f.name for f in dataclasses.fields(Skill0Config) if f.init]
    for key in training:
        where = f"{path}:{_line_of(text, ('training', key))}: training.{key}"
        if key in reserved:
            raise ConfigError(f"{where}: set {reserved[key]} instead")
        if key not in known:
            raise ConfigError(f"{where}: unknown key{_suggest(key, known)}")
        if isinstance(training[key], str) and _NUMBER.fullmatch(training[key]):
            raise ConfigError(
                f"{where}: YAML reads {training[key]!r} as text, not as a number; write it with a point and "
                "a signed exponent, like 3.0e-4"
            )


def _explain(path: Path, text: str, error: ValidationError) -> str:
    """One line per mistake: file, line, key, what is wrong."""
    lines = []
    for item in error.errors():
        location = tuple(part for part in item["loc"] if isinstance(part, (str, int)))
        key = ".".join(map(str, location))
        if item["type"] == "unexpected_keyword_argument":
            what = "unknown key" + _suggest(str(location[-1]), _keys_beside(location))
        else:
            what = f"{item['msg']} (given: {item['input']!r})"
        lines.append(f"{path}:{_line_of(text, location)}: {key}: {what}")
    return "\n".join(lines)


def _keys_beside(location: tuple[str | int, ...]) -> list[str]:
    """The keys that the section holding `location` knows."""
    section: Any = Recipe
    for part in location[:-1]:
        hint = get_type_hints(section)[str(part)]
        section = next(kind for kind in (hint, *get_args(hint)) if dataclasses.is_dataclass(kind))
    return [f.name for f in dataclasses.fields(section)]


def _suggest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(sorted(known))}"


def _line_of(text: str, location: Iterable[str | int]) -> int:
    """The line of a key path in a YAML text; the line of the deepest part that is found."""
    node = yaml.compose(text)
    line = 1
    for part in location:
        if not isinstance(node, yaml.MappingNode):
            break
        for key_node, value_node in node.value:
            if key_node.value == str(part):
                line, node = key_node.start_mark.line + 1, value_node
                break
        else:
            break
    return line
