"""alfworld and textworld, imported once and without their side effects.

Importing alfworld creates a folder and sets `$ALFWORLD_DATA`; translating a game replaces `sys.argv` and
`sys.stdout`; neither tatsu (the grammar parser) nor the translator can be used by two threads at once. The
guards here undo the first two and serialise the third.

Left out: everything of alfworld that needs the 3-D simulator, a planner or a download.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from types import ModuleType

from skill0.errors import EnvError

TESTED_TEXTWORLD = "1.7"

# One lock for the process: tatsu and the translator keep state in module globals.
ENGINE_LOCK = threading.RLock()


@dataclass(frozen=True)
class Upstream:
    """What skill0 uses of the two packages."""

    textworld: ModuleType
    pddl_env: type
    demangler: type
    demangler_wrapper: type


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Restore `sys.argv`, `sys.stdout` and `sys.stderr`, whatever the block does to them."""
    argv, stdout, stderr = sys.argv, sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.argv, sys.stdout, sys.stderr = argv, stdout, stderr


@contextmanager
def private_alfworld_data() -> Iterator[None]:
    """While the block runs, `$ALFWORLD_DATA` names a folder; when it was unset, a temporary one.

    Without this, `import alfworld` creates ~/.cache/alfworld and leaves the variable set.
    """
    if "ALFWORLD_DATA" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="skill0-alfworld-") as folder:
        os.environ["ALFWORLD_DATA"] = folder
        try:
            yield
        finally:
            os.environ.pop("ALFWORLD_DATA", None)


@lru_cache(maxsize=1)
def upstream() -> Upstream:
    """Import both packages (about a second) and return the parts in use.

    Raises:
        EnvError: they are not installed.
    """
    with ENGINE_LOCK, process_state_kept(), private_alfworld_data(), warnings.catch_warnings():
        # Deprecations inside packages we pin are not the user's business.
        warnings.simplefilter("ignore")
        try:
            import textworld
            from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
            from alfworld.agents.utils.misc import Demangler
            from textworld.envs import PddlEnv
        except ImportError as error:
            raise EnvError(
                f"the ALFWorld engine is not installed ({error}). "
                "Install it with: pip install 'skill0[alfworld]' (needs cmake and a C++ compiler)."
            ) from error
    return Upstream(textworld, PddlEnv, Demangler, AlfredDemangler)


def textworld_is_tested() -> bool:
    """Whether the installed textworld is one whose inner methods the fast engine was checked against."""
    return metadata.version("textworld").startswith(TESTED_TEXTWORLD + ".")


@lru_cache(maxsize=1)
def shipped_domain_and_grammar() -> tuple[str, str]:
    """The PDDL domain and the grammar template inside the alfworld wheel, without importing alfworld.

    They differ in comments and in one sink type from those of the official games, which carry their own.

    Raises:
        EnvError: alfworld is not installed.
    """
    spec = util.find_spec("alfworld")
    if spec is None or not spec.submodule_search_locations:
        raise EnvError("alfworld is not installed. Install it with: pip install 'skill0[alfworld]'.")
    data = Path(spec.submodule_search_locations[0]) / "data"
    return read_text(data / "alfred.pddl"), read_text(data / "alfred.twl2")


def read_text(path: Path) -> str:
    """The file as it is: no line ending is translated, so that checksums hold."""
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()
