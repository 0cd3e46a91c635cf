"""Count where things are in the official ALFWorld train games: the default priors of generated households.

    python examples/count_placements.py ../shared/data/alfworld -o skill0/envs/alfworld/placements.json

Of every train game it reads the initial facts of the PDDL problem. Object counts are over games (a scene
used by many games counts as often); receptacle counts are over scenes, each once, since a scene is always
furnished alike. Rooms follow ALFRED's scene numbers: 1-30 kitchens, 201-230 living rooms, 301-330 bedrooms,
401-430 bathrooms. Things that can be neither picked up nor switched on (walls, windows, ...) are left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOMS = {0: "kitchen", 2: "living", 3: "bedroom", 4: "bathroom"}
AFFORDANCES = (
    "cleanable",
    "coolable",
    "heatable",
    "isReceptacleObject",
    "pickupable",
    "sliceable",
    "toggleable",
)
SOURCE = (
    "Counted by examples/count_placements.py from the {games} train games of ALFWorld 0.4 "
    "(https://github.com/alfworld/alfworld, MIT, Copyright (c) 2020 Mohit Shridhar and others), "
    "which are built on ALFRED (https://github.com/askforalfred/alfred, MIT)."
)


def initial_facts(problem: str) -> Iterator[tuple[str, list[str]]]:
    """(predicate, arguments) of each fact in a problem's `:init`."""
    init = problem[problem.index("(:init") : problem.index("(:goal")]
    for predicate, arguments in re.findall(r"\((\w+) ([^()]*)\)", init):
        yield predicate, arguments.split()


def scene_number(game_id: str) -> int:
    """The ALFRED scene in a game's id, `<task>-<object>-<container>-<receptacle>-<scene>/<trial>`."""
    return int(game_id.split("/")[0].rsplit("-", 1)[1])


def count(games: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The content of the file, from (game id, PDDL problem) pairs."""
    scenes: dict[int, Counter[str]] = {}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    rooms: dict[str, Counter[str]] = defaultdict(Counter)
    accepts: dict[str, set[str]] = defaultdict(set)
    affordances: dict[str, set[str]] = defaultdict(set)
    openable: dict[str, Counter[bool]] = defaultdict(Counter)
    total = 0
    for game_id, problem in games:
        total += 1
        scene = scene_number(game_id)
        facts = list(initial_facts(problem))
        receptacles = {a[0]: a[1].removesuffix("Type") for p, a in facts if p == "receptacleType"}
        objects = {a[0]: a[1].removesuffix("Type") for p, a in facts if p == "objectType"}
        can_open = {a[0] for p, a in facts if p == "openable"}
        scenes.setdefault(scene, Counter(receptacles.values()))
        for name, kind in receptacles.items():
            openable[kind][name in can_open] += 1
        for kind in objects.values():
            rooms[kind][ROOMS[scene // 100]] += 1
        for predicate, arguments in facts:
            if predicate == "inReceptacle":
                found[objects[arguments[0]]][receptacles[arguments[1]]] += 1
            elif predicate == "canContain":
                accepts[arguments[0].removesuffix("Type")].add(arguments[1].removesuffix("Type"))
            elif predicate in AFFORDANCES and arguments[0] in objects:  # slices to come have no type yet
                affordances[objects[arguments[0]]].add(predicate)
    return {
        "source": SOURCE.format(games=total),
        "games": total,
        "scenes": _scenes_by_room(scenes),
        "openable": {
            kind: round(c[True] / c.total(), 3) for kind, c in sorted(openable.items()) if c[True]
        },
        "accepts": {kind: sorted(kinds) for kind, kinds in sorted(accepts.items())},
        "objects": {
            kind: {
                "affordances": sorted(affordances[kind]),
                "rooms": dict(rooms[kind].most_common()),
                "found": dict(found[kind].most_common()),
            }
            for kind in sorted(affordances)
            if affordances[kind] & {"pickupable", "toggleable"}
        },
    }  # fmt: skip


def _scenes_by_room(scenes: dict[int, Counter[str]]) -> dict[str, list[dict[str, int]]]:
    by_room: dict[str, list[dict[str, int]]] = {room: [] for room in ROOMS.values()}
    for scene in sorted(scenes):
        by_room[ROOMS[scene // 100]].append(dict(sorted(scenes[scene].items())))
    return by_room


def to_json(content: dict[str, Any]) -> str:
    """JSON with one line for each innermost list or mapping, so that a change reads well in a diff."""
    text = json.dumps(content, indent=1)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda match: " ".join(match[0].split()), text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("games", help="a packed store or a directory of official games")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the JSON file to write")
    arguments = parser.parse_args()

    from skill0.envs.alfworld import load_games

    games = load_games(arguments.games, "train")
    content = count((game.id, game.problem) for game in games)
    arguments.output.write_text(to_json(content), encoding="utf-8")
    print(f"{arguments.output}: {content['games']} games, {len(content['objects'])} object types")


if __name__ == "__main__":
    main()
