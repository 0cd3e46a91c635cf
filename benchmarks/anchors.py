"""What GiGPO's anchors cost: grouping the turns of one rollout group by equal and by similar observations.

    python benchmarks/anchors.py

Sentences as an ALFWorld game says them, all of them different: the worst case, for a text that was seen
before costs nothing. Seconds are of one core; the texts follow from a seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from skill0.training.gigpo import anchor_groups

THINGS = ("apple", "book", "cloth", "egg", "knife", "mug", "pan", "pen", "plate", "tomato")
PLACES = ("cabinet", "countertop", "desk", "drawer", "fridge", "microwave", "shelf", "sinkbasin")


def observations(turns: int, things: int, seed: int = 0) -> list[str]:
    """So many different observations of a place with so many things."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < turns:
        place = f"{draw.choice(PLACES)} {draw.randint(1, 9)}"
        seen = ", ".join(f"a {draw.choice(THINGS)} {draw.randint(1, 3)}" for _ in range(things))
        found[f"You arrive at {place}. On the {place}, you see {seen}."] = None
    return list(found)


def seconds(texts: Sequence[str], similarity: float) -> float:
    start = time.process_time()
    anchor_groups(texts, [0] * len(texts), similarity)
    return time.process_time() - start


def main() -> None:
    columns = ("turns", "characters", "equal", "at .95", "at .80")
    print("".join(f"{name:>11}" for name in columns), "  (seconds a rollout group)")
    for turns, things in ((100, 2), (400, 2), (100, 8), (50, 18)):
        texts = observations(turns, things)
        length = sum(map(len, texts)) / turns
        equal, close, loose = (seconds(texts, similarity) for similarity in (1.0, 0.95, 0.8))
        print(f"{turns:>11}{length:>11.0f}{equal:>11.4f}{close:>11.2f}{loose:>11.2f}")


if __name__ == "__main__":
    main()
