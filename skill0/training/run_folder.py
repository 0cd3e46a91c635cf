"""The folder of a run: claimed once, resumed by the same recipe, never overwritten by another."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from skill0.errors import ConfigError
from skill0.training.checkpoints import write_atomically
from skill0.training.recipe import Recipe

DIGEST_FILE, RESULTS_FILE = "recipe.sha256", "results.json"
_PACKAGES = ("torch", "transformers", "trl", "accelerate", "datasets", "numpy", "alfworld", "textworld")


def run_folder(recipe: Recipe) -> Path:
    """Where this recipe runs: its `output_dir`, or, after finished runs, the first free `output_dir-N`.

    Raises:
        ConfigError: the folder holds an unfinished run of another recipe, or files that are no run.
    """
    number = 1
    while True:
        folder = Path(recipe.output_dir if number == 1 else f"{recipe.output_dir}-{number}")
        if not folder.exists() or not any(folder.iterdir()):
            return folder
        if not (folder / DIGEST_FILE).is_file():
            raise ConfigError(f"{folder} holds files that are no run of skill0: choose another with --output")
        if not (folder / RESULTS_FILE).is_file():
            if (folder / DIGEST_FILE).read_text(encoding="utf-8").strip() != recipe.digest:
                raise ConfigError(
                    f"{folder} holds an unfinished run of another recipe (its own is recipe.yaml there): "
                    "finish that one, remove the folder, or choose another with --output"
                )
            return folder
        number += 1


def check_free(folder: Path) -> None:
    """Raise `ConfigError` unless the folder is missing or empty: what is written whole will go there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already: remove it, or choose another")


def claim(folder: Path, recipe: Recipe) -> None:
    """Write down what is about to run. Claiming a folder again for the same recipe changes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "recipe.yaml", yaml.safe_dump(_plain(recipe.as_dict()), sort_keys=False))
    write_json(folder / "versions.json", versions())
    write_atomically(folder / DIGEST_FILE, recipe.digest + "\n")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "skill0": importlib.metadata.version("skill0")}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(data, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _plain(value: Any) -> Any:
    """Tuples and mappings as lists and dicts, so that YAML shows them as such."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
