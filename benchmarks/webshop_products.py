"""The documents of WebShop's small split as its search engine indexes them, and Lucene's recorded answers.

documents      lower(title, description, first bullet point, options) of 1,000 products
recorded       400 queries with the ids of Lucene's best 50 (Anserini 0.14.3, k1 0.9, b 0.4)
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skill0.retrieval import Passage


def documents(data: Path) -> Iterator[Passage]:
    """The products in their order; `data` is the folder with the `webshop` files."""
    with gzip.open(data / "webshop" / "items_shuffle_1000.json.gz", "rt", encoding="utf-8") as file:
        products = json.load(file)
    for product in products:
        bullets = product["small_description"]
        first_bullet = bullets[0] if isinstance(bullets, list) else bullets
        parts = product["name"], product["full_description"], first_bullet, _options(product)
        yield Passage(product["asin"], " ".join(parts).lower())


def _options(product: dict[str, Any]) -> str:
    named = (product["customization_options"] or {}).items()
    return ", and ".join(
        f"{name.lower()}: " + ", ".join(value["value"].strip().replace("/", " | ") for value in values)
        for name, values in named
        if values is not None
    )


def recorded(data: Path) -> tuple[list[str], list[list[str]]]:
    """Queries, and for each the ids that Lucene found, best first."""
    with gzip.open(data / "webshop" / "golden_lucene_top50.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["q"] for row in rows], [row["top50"] for row in rows]
