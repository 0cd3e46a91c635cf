"""The context renderer beside PIL, the official image processor and a plain copy of the output.

    python benchmarks/renderer.py

Histories in the form of ALFWorld's, cell 6x12 (the reference's font size 10), width 392, one thread. Times
are CPU time of this thread, medians over repetitions that take turns, so that other work on the machine falls
on all alike; ratios are what counts. *PIL* draws the same rows one by one, already wrapped, in the font that
the atlas was baked from. *Compiled* is drawing by numba (extra `numba`): the first three claims are about it,
all others about numpy. Claims (exit code 1 when one does not hold):

    a page of 50 steps, cold               at least 60x as fast as PIL, at most 5x a copy of the image
    one more turn on a page of 50 steps    at most 60 microseconds, laid out and drawn
    50 growing pages to pixel values       at least 10x as fast as PIL and processor, at most 2.5x a copy
    128 episodes of 50 turns               at most 100 MB
    time and memory                        linear in the text, from 1 to 1,000 turns
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from skill0.context import Canvas, ContextRenderer, Page, PageStyle, Segment
from skill0.context.atlas import load_atlas
from skill0.context.bake import font_path
from skill0.context.roles import ROLE_COLOURS

STYLE, STEPS, EPISODES = PageStyle(), 50, 128
SMALL = PageStyle("4x8")
"""A thousand turns in a larger cell are more than the image processor takes."""

THINGS = ("apple", "book", "cloth", "egg", "knife", "mug", "pencil", "plate", "soapbottle", "tomato")
PLACES = ("cabinet", "countertop", "desk", "drawer", "fridge", "shelf", "sidetable")
LENGTHS = (1, 10, 100, 1000)


def history(steps: int, seed: int = 0) -> list[list[Segment]]:
    """Observation and action of every step."""
    draw = random.Random(seed)
    return [turn(number, draw) for number in range(steps)]


def turn(number: int, draw: random.Random) -> list[Segment]:
    place = f"{draw.choice(PLACES)} {draw.randint(1, 9)}"
    seen = ", ".join(f"a {draw.choice(THINGS)} {draw.randint(1, 4)}" for _ in range(draw.randint(1, 7)))
    arrived = f"You arrive at {place}. On the {place}, you see {seen}."
    text = "Nothing happens." if number % 5 == 4 else arrived
    return [Segment("observation", text), Segment("action", f"go to {draw.choice(PLACES)} {number}")]


def flat(turns: Sequence[Sequence[Segment]]) -> list[Segment]:
    return [segment for part in turns for segment in part]


def timed(call: Callable[[], Any]) -> float:
    """CPU microseconds of this thread."""
    start = time.thread_time()
    call()
    return 1e6 * (time.thread_time() - start)


def medians(calls: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median CPU microseconds of each call; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            times[name].append(timed(call))
    return {name: statistics.median(found) for name, found in times.items()}


def by_pil(page: Page) -> Callable[[], Image.Image]:
    """PIL's drawing of a page's rows; which rows and colours there are is worked out before."""
    font = ImageFont.truetype(font_path(), 10)
    colours, glyphs = list(ROLE_COLOURS.values()), load_atlas(STYLE.cell).num_glyphs
    rows = [
        (text, colours[int(ids.max()) // glyphs])
        for text, ids in zip(page.row_texts(), page.ids, strict=True)
    ]
    height, width = page.size

    def draw() -> Image.Image:
        image = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(image)
        for number, (text, colour) in enumerate(rows):
            pen.text((0, number * STYLE.pitch), text, fill=colour, font=font)
        return image

    return draw


def cold(repetitions: int) -> dict[str, float]:
    segments = flat(history(STEPS))
    page = ContextRenderer().page(segments, STYLE)
    image = page.array()
    target = np.empty_like(image)
    return medians(
        {
            "PIL, line by line": by_pil(page),
            "skill0, remembering": lambda: ContextRenderer().page(segments, STYLE).array(),
            "skill0": lambda: ContextRenderer(0).page(segments, STYLE).array(),
            "skill0, compiled": lambda: ContextRenderer(0).page(segments, STYLE).array(compiled=True),
            "copy of the image": lambda: np.copyto(target, image),
        },
        repetitions,
    )


def append(repetitions: int) -> dict[str, float]:
    times: dict[str, list[float]] = {"laid out": [], "and drawn": [], "and drawn, compiled": []}
    for seed in range(repetitions):
        *turns, last = history(STEPS + 1, seed)
        for drawn, compiled in (("and drawn", False), ("and drawn, compiled", True)):
            canvas = Canvas(STYLE, compiled=compiled)
            for part in turns:
                canvas.append(*part)
                canvas.array()
            laid_out = timed(lambda: canvas.append(*last))  # noqa: B023  (called at once)
            times["laid out"].append(laid_out)
            times[drawn].append(laid_out + timed(canvas.array))
    return {name: statistics.median(found) for name, found in times.items()}


def growing(repetitions: int) -> dict[str, float]:
    """A turn's part of an episode of 50 steps, each page turned into pixel values."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(max_pixels=16384 * 28 * 28)
    turns = history(STEPS)
    contexts = [flat(turns[: number + 1]) for number in range(STEPS)]
    pages = [ContextRenderer().page(context, STYLE) for context in contexts]
    values = pages[-1].pixel_values()[0]
    target = np.empty_like(values)
    drawings = [by_pil(page) for page in pages]

    def by_processor() -> None:
        for draw in drawings:
            processor(images=[draw()], return_tensors="np")

    def anew() -> None:
        renderer = ContextRenderer()
        for context in contexts:
            renderer.page(context, STYLE).pixel_values()

    def by_canvas() -> None:
        canvas = Canvas(STYLE)
        for part in turns:
            canvas.append(*part)
            canvas.pixel_values()

    def copied() -> None:
        for page in pages:
            np.copyto(target[: 4 * page.visual_tokens], values[: 4 * page.visual_tokens])

    found = medians(
        {
            "PIL and processor": by_processor,
            "skill0, every page anew": anew,
            "skill0, a canvas": by_canvas,
            "copy of the pixel values": copied,
        },
        repetitions,
    )
    return {name: value / STEPS for name, value in found.items()}


def kept(episodes: int) -> dict[str, float]:
    """Megabytes of the pages of so many episodes of 50 turns, and of their pixel values."""
    tracemalloc.start()
    pages = []
    for seed in range(episodes):
        canvas = Canvas(STYLE, ContextRenderer(0))
        pages += [canvas.append(*part) for part in history(STEPS, seed)]
    del canvas
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    pixels = sum(4 * page.visual_tokens * 1176 * 4 for page in pages)
    return {"skill0": size / 1e6, "float32 pixel values": pixels / 1e6}


def scaling(repetitions: int) -> list[dict[str, float]]:
    """By the number of turns: microseconds a turn to lay out and draw, and bytes of ids a turn."""
    rows = []
    for turns in LENGTHS:
        context = flat(history(turns))
        page = ContextRenderer(0).page(context, SMALL)
        assert not page.report.rows_dropped
        spent = medians({"page": lambda: ContextRenderer(0).page(context, SMALL).array()}, repetitions)  # noqa: B023
        rows.append(
            {"turns": turns, "us a turn": spent["page"] / turns, "bytes a turn": page.ids.nbytes / turns}
        )
    return rows


def claims(found: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """What was measured, what is claimed, and whether it holds."""
    page, grown = found["cold"], found["growing"]
    faster = page["PIL, line by line"] / page["skill0, compiled"]
    copies = page["skill0, compiled"] / page["copy of the image"]
    patches_faster = grown["PIL and processor"] / grown["skill0, a canvas"]
    patches_copies = grown["skill0, a canvas"] / grown["copy of the pixel values"]
    turn_us = found["append"]["and drawn, compiled"]
    memory = found["kept"]["skill0"]
    long, middle = found["scaling"][-1], found["scaling"][-2]
    growth = long["us a turn"] / middle["us a turn"]
    return [
        ("cold page: times as fast as PIL", faster, "at least 60", faster >= 60),
        ("cold page: copies of the image", copies, "at most 5", copies <= 5),
        ("one more turn: microseconds", turn_us, "at most 60", turn_us <= 60),
        (
            "pixel values: times as fast as PIL, processor",
            patches_faster,
            "at least 10",
            patches_faster >= 10,
        ),
        ("pixel values: copies of them", patches_copies, "at most 2.5", patches_copies <= 2.5),
        ("128 x 50 pages: MB", memory, "at most 100", memory <= 100),
        ("1,000 turns: time a turn over that at 100", growth, "at most 1.5", growth <= 1.5),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "cold": cold(given.repetitions),
        "append": append(given.repetitions),
        "growing": growing(max(3, given.repetitions // 8)),
        "kept": kept(EPISODES),
        "scaling": scaling(max(5, given.repetitions // 4)),
    }
    console = Console()
    for name, title in (
        ("cold", "50 steps, text to image, microseconds"),
        ("append", "One more turn on 50 steps, microseconds"),
        ("growing", "Growing to 50 steps, to pixel values, microseconds a turn"),
        ("kept", f"{EPISODES} episodes of {STEPS} turns, kept, megabytes"),
    ):
        table = Table(title=title, title_justify="left")
        table.add_column("how")
        table.add_column("median" if name != "kept" else "MB", justify="right")
        for how, value in found[name].items():
            table.add_row(how, f"{value:,.0f}")
        console.print(table)
    table = Table("turns", "us a turn", "bytes of ids a turn", title="Scaling", title_justify="left")
    for row in found["scaling"]:
        table.add_row(f"{row['turns']:,}", f"{row['us a turn']:.1f}", f"{row['bytes a turn']:.0f}")
    console.print(table)
    checked = claims(found)
    table = Table("claim", "measured", "claimed", "", title="Claims", title_justify="left")
    for name, value, claim, holds in checked:
        table.add_row(name, f"{value:.1f}", claim, "holds" if holds else "DOES NOT HOLD")
    console.print(table)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(holds for *_, holds in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
