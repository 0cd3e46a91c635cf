"""Speed of the fast ALFWorld engine against textworld's own, on the same games in one run.

    python benchmarks/alfworld_engine.py                                   # generated households
    python benchmarks/alfworld_engine.py --games ../shared/data/alfworld   # and official games

Both engines play the same random walk and must answer alike. Times are CPU time of this process, so that
other work on the machine matters little; each number is a median over games or over steps. Claims: a step at
least 50 times and a repeated reset (the same game again) at least 30 times as fast. Exit code 1 when one does
not hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from skill0.envs.alfworld import (
    TASK_TYPES,
    Game,
    HouseholdSettings,
    find_splits,
    generate_games,
    load_games,
    sample_games,
)
from skill0.envs.alfworld.upstream import upstream

CLAIMS = {"step": 50.0, "same game again (load + reset)": 30.0}
FIRST = "first time (load + reset)"
AGAIN = "same game again (load + reset)"
FROM_DISK = "translated before (load + reset)"
STEP = "step"


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU milliseconds, result)."""
    start = time.process_time()
    result = call()
    return 1000 * (time.process_time() - start), result


def start(engine: Any, data: dict[str, Any]) -> Callable[[], Any]:
    def load_and_reset() -> Any:
        engine.load(data)
        return engine.reset()

    return load_and_reset


def measure(stock: Any, fast: Any, game: Game, steps: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by operation and engine, for one game that neither engine has seen."""
    data = game.engine_data()
    times: dict[str, dict[str, list[float]]] = {
        name: {"stock": [], "fast": []} for name in (FIRST, AGAIN, FROM_DISK, STEP)
    }
    for operation, rounds in ((FIRST, 1), (AGAIN, 1)):
        for name, engine in (("stock", stock), ("fast", fast)):
            for _ in range(rounds if name == "stock" else 3 * rounds if operation == AGAIN else rounds):
                times[operation][name].append(timed(start(engine, data))[0])
    times[FROM_DISK] = {"stock": times[AGAIN]["stock"], "fast": [_from_disk(fast, data)]}

    draw = random.Random(seed)
    stock_state, fast_state = stock.reset(), start(fast, data)()
    plan = list(game.walkthrough)
    for _ in range(steps):
        admissible = stock_state["admissible_commands"]
        if fast_state["admissible_commands"] != admissible or fast_state.feedback != stock_state.feedback:
            raise SystemExit(f"the engines differ in game {game.id}")
        command = plan.pop(0) if plan and draw.random() < 0.3 else draw.choice(admissible)
        took, (stock_state, *_) = timed(lambda command=command: stock.step(command))
        times[STEP]["stock"].append(took)
        took, (fast_state, *_) = timed(lambda command=command: fast.step(command))
        times[STEP]["fast"].append(took)
    return times


def _from_disk(fast: Any, data: dict[str, Any]) -> float:
    """The game as a new process finds it: translated on disk, nothing in memory but the grammar."""
    from skill0.envs.alfworld.engine import load_game

    with tempfile.TemporaryDirectory() as folder:
        fast._cache_dir = folder
        start(fast, data)()
        load_game.cache_clear()
        took, _ = timed(start(fast, data))
        fast._cache_dir = None
    return took


def games_to_play(folder: str | None, count: int, seed: int) -> dict[str, list[Game]]:
    """Games by kind, `count` of each, their task types in turn."""
    kinds = {
        "small households": generate_games(count, seed),
        "large households": generate_games(count, seed, HouseholdSettings(size="large")),
    }
    if folder:
        split = "valid_seen" if "valid_seen" in find_splits(folder) else find_splits(folder)[0]
        games = load_games(folder, split)
        by_type = [[game for game in games if game.task_type == task_type] for task_type in TASK_TYPES]
        chosen = [sample_games(same, 1, seed)[0] for same in by_type if same]
        kinds[f"games of {folder}, {split}"] = chosen[:count]
    return kinds


def report(times: dict[str, list[dict[str, dict[str, list[float]]]]]) -> tuple[Table, list[dict[str, Any]]]:
    """The table, and its rows for JSON."""
    table = Table(
        "games", "operation", "stock, ms", "fast, ms", "ratio", "claim", title="ALFWorld engine, CPU time"
    )
    rows = []
    for kind, games in times.items():
        for operation in (FIRST, FROM_DISK, AGAIN, STEP):
            median = {
                engine: statistics.median(value for game in games for value in game[operation][engine])
                for engine in ("stock", "fast")
            }
            ratio = median["stock"] / median["fast"]
            claim = CLAIMS.get(operation)
            rows.append({"games": kind, "operation": operation, **median, "ratio": ratio, "claim": claim})
            table.add_row(
                f"{kind} ({len(games)})",
                operation,
                f"{median['stock']:.1f}",
                f"{median['fast']:.2f}",
                f"{ratio:.0f}x",
                "" if claim is None else f"{claim:.0f}x {'holds' if ratio >= claim else 'FAILS'}",
            )
    return table, rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", help="a folder of games, or $ALFWORLD_DATA, to measure as well")
    parser.add_argument("--count", type=int, default=3, help="games of each kind")
    parser.add_argument("--steps", type=int, default=20, help="steps in each game")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write all numbers to this file")
    arguments = parser.parse_args()

    parts = upstream()
    from skill0.envs.alfworld.engine import FastPddlEnv

    infos = parts.textworld.EnvInfos(won=True, admissible_commands=True)
    stock = parts.demangler_wrapper(parts.pddl_env(infos), shuffle=False)
    fast = FastPddlEnv(infos)
    kinds = games_to_play(arguments.games, arguments.count, arguments.seed)
    # Both engines import and parse what they need once; that is not what is measured.
    other = generate_games(1, seed=1, split="warm-up")[0].engine_data()
    for data in (other, *(games[0].engine_data() for games in kinds.values())):
        fast.load({**data, "pddl_problem": other["pddl_problem"]})
    stock.load(other)

    times: dict[str, list[Any]] = {kind: [] for kind in kinds}
    console = Console(stderr=True)
    work = [(kind, game) for kind, games in kinds.items() for game in games]
    for kind, game in track(work, "measuring", console=console):
        times[kind].append(measure(stock, fast, game, arguments.steps, arguments.seed))
    table, rows = report(times)
    Console().print(table)
    if arguments.json:
        versions = {
            name: metadata.version(name) for name in ("alfworld", "textworld", "fast-downward-textworld")
        }
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(
                {"rows": rows, "games": times, "versions": versions, "machine": machine}, file, indent=2
            )
    return int(any(row["claim"] is not None and row["ratio"] < row["claim"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
