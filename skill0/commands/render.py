"""`skill0 render`: what the model sees, as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from skill0.context import Page, Segment
    from skill0.skills import SkillFile

# A group without subcommands, so that `skill0 render` is the command; options may follow the paths.
app = typer.Typer(invoke_without_command=True, context_settings={"allow_interspersed_args": True})


@dataclass(frozen=True)
class _Content:
    """What one page shows: skill files or, when `segments` are given, a transcript."""

    title: str
    files: tuple[SkillFile, ...] = ()
    segments: tuple[Segment, ...] | None = None


@app.callback()
def render(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Skill files, folders of skills, or transcripts (.jsonl, role and text a line)."),
    ],
    cell: Annotated[
        list[str] | None, typer.Option(help="Character cell, 7x14 to 4x8; several are set side by side.")
    ] = None,
    width: Annotated[int, typer.Option(help="Pixels, a multiple of 28.")] = 392,
    leading: Annotated[int, typer.Option(help="White pixels below each row of text.")] = 0,
    max_visual_tokens: Annotated[
        int | None, typer.Option(help="Drop the oldest history beyond this many visual tokens.")
    ] = None,
    form: Annotated[str, typer.Option(help="Skills as 'full' sentences or 'brief' facts.")] = "full",
    output: Annotated[
        Path | None, typer.Option(help="The PNG to write; by default in this folder, named as the path.")
    ] = None,
) -> None:
    """Write what the model sees as PNG: one page as it is, several as a contact sheet with captions."""
    from skill0.agent.prompting import skill_segments
    from skill0.context import ContextRenderer, PageStyle, contact_sheet

    renderer = ContextRenderer()
    styles = [PageStyle(name, width, leading, max_visual_tokens) for name in cell or ["6x12"]]
    captions: list[str] = []
    pages: list[Page] = []
    for content in _contents(paths):
        for style in styles:
            segments: Sequence[Segment]
            if content.segments is None:
                segments = skill_segments(content.files, form, style.columns)
            else:
                segments = content.segments
            pages.append(renderer.page(segments, style))
            captions.append(f"{content.title}, {style.cell}: {pages[-1].visual_tokens} visual tokens")
            typer.echo(captions[-1] + _remarks(pages[-1]))
    across = len(styles) if len(styles) > 1 else 4
    image = pages[0].image() if len(pages) == 1 else contact_sheet(pages, captions, columns=across)
    output = output or Path(f"{paths[0].resolve().stem}.png")
    output.parent.mkdir(parents=True, exist_ok=True)
    image.save(output, "PNG")
    typer.echo(f"wrote {output}, {image.width} x {image.height} pixels")


def _contents(paths: Sequence[Path]) -> Iterator[_Content]:
    """One page a transcript; of a bank all of its files on one page, then each file on its own."""
    from skill0.context import read_transcript
    from skill0.skills import SkillBank

    for path in paths:
        if path.suffix == ".jsonl":
            yield _Content(path.name, segments=tuple(read_transcript(path)))
            continue
        bank = SkillBank.load(path)
        if len(bank) > 1:
            yield _Content(f"all {len(bank)} files", bank.files)
        for file in bank:
            yield _Content(file.name, (file,))


def _remarks(page: Page) -> str:
    """What the page does not show as it was written."""
    report = page.report
    remarks = []
    if report.rows_dropped:
        remarks.append(f"{report.segments_dropped} segments ({report.rows_dropped} rows) dropped")
    for what, counts in (("shown as escapes", report.substitutions), ("normalised", report.normalisations)):
        if counts:
            remarks.append(
                f"{what}: " + ", ".join(f"{name} x{count}" for name, count in sorted(counts.items()))
            )
    return "".join(f"; {remark}" for remark in remarks)
