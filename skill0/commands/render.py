"""`skill0 render`: what the model sees, as PNG and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skill0.errors import ConfigError, RenderError

if TYPE_CHECKING:
    from PIL.Image import Image

    from skill0.context import Page, PageStyle, Segment
    from skill0.skills import SkillFile

# A group without subcommands, so that `skill0 render` is the command; options may follow the paths.
app = typer.Typer(invoke_without_command=True, context_settings={"allow_interspersed_args": True})


@dataclass(frozen=True)
class _Content:
    """What is to be shown: a page as it was, a transcript's segments, or skill files."""

    title: str
    files: tuple[SkillFile, ...] = ()
    segments: tuple[Segment, ...] | None = None
    page: Page | None = None


@app.callback()
def render(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Skill files, folders of skills, transcripts (.jsonl, role and text a line), "
            "run folders or their turns.jsonl."
        ),
    ],
    cell: Annotated[
        list[str] | None,
        typer.Option(help="Character cell, 7x14 to 4x8, or 'all'; several are set side by side."),
    ] = None,
    width: Annotated[int, typer.Option(help="Pixels, a multiple of 28.")] = 392,
    leading: Annotated[int, typer.Option(help="White pixels below each row of text.")] = 0,
    joiner: Annotated[
        str | None, typer.Option(help="Let history flow, with this for every new line, such as ' | '.")
    ] = None,
    max_visual_tokens: Annotated[
        int | None, typer.Option(help="Drop the oldest history beyond this many visual tokens.")
    ] = None,
    fit: Annotated[
        bool, typer.Option(help="With --max-visual-tokens: take a smaller cell before dropping history.")
    ] = False,
    form: Annotated[str, typer.Option(help="Skills as 'full' sentences or 'brief' facts.")] = "full",
    output: Annotated[
        Path | None, typer.Option(help="The PNG to write; by default in this folder, named as the path.")
    ] = None,
    preview: Annotated[
        bool, typer.Option(help="Show the image in the terminal, too (extra: preview).")
    ] = False,
) -> None:
    """Write what the model sees as PNG: one page as it is, several as a contact sheet with captions."""
    from skill0.context import CELLS, PageStyle, contact_sheet

    if fit and max_visual_tokens is None:
        raise ConfigError("--fit needs --max-visual-tokens, the budget to fit into")
    cells = list(CELLS) if cell == ["all"] else cell or ["6x12"]
    limit = None if fit else max_visual_tokens
    styles = [PageStyle(name, width, leading, limit, joiner) for name in cells]
    captions: list[str] = []
    pages: list[Page] = []
    for content in _contents(paths):
        shown = _pages(content, styles, form, max_visual_tokens if fit else None)
        for page in shown:
            pages.append(page)
            captions.append(f"{content.title}, {_price(page, shown[0])}")
            typer.echo(captions[-1] + _remarks(page))
    across = len(styles) if len(styles) > 1 else 4
    image = pages[0].image() if len(pages) == 1 else contact_sheet(pages, captions, columns=across)
    output = output or Path(f"{paths[0].resolve().stem}.png")
    output.parent.mkdir(parents=True, exist_ok=True)
    image.save(output, "PNG")
    typer.echo(f"wrote {output}, {image.width} x {image.height} pixels")
    if preview:
        _preview(image)


def _pages(content: _Content, styles: Sequence[PageStyle], form: str, budget: int | None) -> list[Page]:
    """A page in every style; a recorded one as it was."""
    from skill0.agent.prompting import skill_segments
    from skill0.context import ContextRenderer

    if content.page is not None:
        return [content.page]
    renderer = ContextRenderer()
    pages = []
    for style in styles:
        segments: Sequence[Segment]
        if content.segments is None:
            segments = skill_segments(content.files, form, style.columns)
        else:
            segments = content.segments
        if budget is None:
            pages.append(renderer.page(segments, style))
        else:
            pages.append(renderer.fit(segments, style, budget).page)
    return pages


def _price(page: Page, first: Page) -> str:
    """Cell and visual tokens, and what they are beside the first page of a row."""
    tokens = page.visual_tokens
    text = f"{page.style.cell}: {tokens} visual tokens"
    return text if page is first else f"{text} ({tokens / first.visual_tokens:.2f} of {first.style.cell})"


def _contents(paths: Sequence[Path]) -> Iterator[_Content]:
    """A page a transcript, and one a recorded turn; of a bank all of its files on one page, then each file on
    its own."""
    from skill0.context import TURNS_FILE, read_transcript, read_turns
    from skill0.skills import SkillBank

    for path in paths:
        turns = path / TURNS_FILE if (path / TURNS_FILE).is_file() else path
        if turns.name == TURNS_FILE:
            found = [turn for turn in read_turns(turns) if turn.page is not None]
            if not found:
                raise RenderError(f"{turns} has no turn with a page: the run showed its policy text alone")
            for turn in found:
                yield _Content(f"{turn.arm}, turn {turn.turn}", page=turn.page)
        elif path.suffix == ".jsonl":
            yield _Content(path.name, segments=tuple(read_transcript(path)))
        else:
            bank = SkillBank.load(path)
            if len(bank) > 1:
                yield _Content(f"all {len(bank)} files", bank.files)
            for file in bank:
                yield _Content(file.name, (file,))


def _preview(image: Image) -> None:
    """The image in the terminal: by its graphics protocol (Kitty's or Sixel), else by half blocks."""
    try:
        from textual_image.renderable import Image as TerminalImage
    except ImportError as error:
        raise ConfigError("--preview needs textual-image: pip install 'skill0[preview]'") from error
    from rich.console import Console

    Console().print(TerminalImage(image))


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
