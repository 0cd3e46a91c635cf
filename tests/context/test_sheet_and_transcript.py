"""What people look at: contact sheets, transcripts, and `skill0 render`."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from skill0.commands.render import app
from skill0.context import (
    ROLES,
    TURNS_FILE,
    ContextRenderer,
    PageStyle,
    RecordedTurn,
    Segment,
    contact_sheet,
    read_transcript,
    read_turns,
)
from skill0.errors import RenderError

SKILL_FILE = """---
name: general
description: For every task.
metadata:
  title: General
  task-types: ["*"]
---

1. **Look first.** Search the likely places first.
   *When to apply:* always.
   *Brief:* mug: cabinet
"""


def page(text, **settings):
    return ContextRenderer().page([Segment("observation", text)], PageStyle(**settings))


def test_a_contact_sheet_holds_every_page_as_it_is():
    pages = [page("one", width=392), page("two\nthree", width=224), page("")]
    sheet = np.asarray(contact_sheet(pages, ["first", "second", "no context"], columns=2))
    for shown in pages:
        picture = shown.array()
        height, width, _ = picture.shape
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (height, width))
        assert (windows == picture[..., 0]).all(axis=(2, 3)).any()


@pytest.mark.parametrize(("texts", "captions"), [([], []), (["one"], []), (["one"], ["a", "b"])])
def test_a_contact_sheet_needs_one_caption_for_each_page(texts, captions):
    with pytest.raises(RenderError, match="one caption for each"):
        contact_sheet([page(text) for text in texts], captions)


@given(st.lists(st.builds(Segment, st.sampled_from(ROLES), st.text(st.characters(exclude_categories=())))))
def test_a_transcript_is_read_as_it_was_written(tmp_path_factory, segments):
    path = tmp_path_factory.mktemp("transcript") / "episode.jsonl"
    lines = [json.dumps({"role": segment.role, "text": segment.text, "step": 1}) for segment in segments]
    path.write_text("\n\n".join(lines))
    assert read_transcript(path) == segments


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "2: is not JSON"),
        ('"go"', '2: a line needs a "role"'),
        ('{"role": "narrator", "text": "x"}', "2: .*narrator"),
        ('{"role": ["note"], "text": "x"}', "2: "),
        ('{"role": "note", "text": 1}', "2: .*string, not int"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "episode.jsonl"
    path.write_text('{"role": "note", "text": "fine"}\n' + line)
    with pytest.raises(RenderError, match=f"episode.jsonl:{message}"):
        read_transcript(path)


def test_a_missing_transcript_is_named(tmp_path):
    with pytest.raises(RenderError, match="nowhere"):
        read_transcript(tmp_path / "nowhere.jsonl")


# -- recorded turns


def recorded(path):
    shown = page("You see a 中 1.", cell="5x9", width=224)
    turn = RecordedTurn("task", "with skills", 1, "You see a 中 1.", "<action>go</action>", True, shown)
    turns = [turn, replace(turn, turn=2, page=None)]
    path.write_text("".join(json.dumps(turn.to_json()) + "\n" for turn in turns), encoding="utf-8")
    return turns


def test_recorded_turns_are_read_as_they_were_written(tmp_path):
    path = tmp_path / TURNS_FILE
    assert recorded(path) == read_turns(path)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"page": null}', '{"page": {"ids": [[1]], "style": {"cell": "9x9"}}}']
)
def test_a_line_that_is_no_turn_is_named(tmp_path, line):
    path = tmp_path / TURNS_FILE
    recorded(path)
    path.write_text(path.read_text() + line)
    with pytest.raises(RenderError, match=r"turns\.jsonl:3: is no recorded turn"):
        read_turns(path)


def test_the_command_shows_the_turns_of_a_run(tmp_path):
    recorded(tmp_path / TURNS_FILE)
    done = run(tmp_path, "--output", tmp_path / "turns.png")
    assert done.exit_code == 0, done.output
    assert "with skills, turn 1, 5x9: 8 visual tokens" in done.output


def test_the_command_sets_all_cells_side_by_side_with_their_price(tmp_path):
    path = tmp_path / "episode.jsonl"
    path.write_text(json.dumps({"role": "observation", "text": "You see a mug 1. " * 40}))
    done = run(path, "--cell", "all", "--output", tmp_path / "ladder.png")
    assert done.exit_code == 0, done.output
    assert "episode.jsonl, 7x14: 98 visual tokens\n" in done.output
    assert "episode.jsonl, 4x8: 28 visual tokens (0.29 of 7x14)" in done.output


def test_the_command_fits_a_budget(tmp_path):
    path = tmp_path / "episode.jsonl"
    path.write_text(json.dumps({"role": "observation", "text": "You see a mug 1. " * 40}))
    done = run(path, "--fit", "--max-visual-tokens", 60, "--output", tmp_path / "fitted.png")
    assert done.exit_code == 0, done.output
    assert "episode.jsonl, 5x10: 56 visual tokens" in done.output
    assert run(path, "--fit").exit_code == 1


@pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")  # textual-image
def test_the_command_shows_the_image_in_the_terminal(tmp_path):
    path = tmp_path / "episode.jsonl"
    path.write_text(json.dumps({"role": "observation", "text": "You see a mug 1."}))
    done = run(path, "--preview", "--output", tmp_path / "episode.png")
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) > 2


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_the_page_of_a_transcript(tmp_path):
    from PIL import Image

    path, output = tmp_path / "episode.jsonl", tmp_path / "new" / "episode.png"
    path.write_text(json.dumps({"role": "observation", "text": "You see a 龘 1."}))
    done = run(path, "--cell", "5x9", "--width", 224, "--leading", 5, "--output", output)
    assert done.exit_code == 0, done.output
    assert "8 visual tokens" in done.output
    assert "shown as escapes: U+9F98 x1" in done.output
    with Image.open(output) as image:
        expected = page("You see a 龘 1.", cell="5x9", width=224, leading=5)
        assert np.array_equal(np.asarray(image), expected.array())


def test_the_command_sets_the_pages_of_a_bank_side_by_side(tmp_path):
    from PIL import Image

    bank, output = tmp_path / "bank", tmp_path / "bank.png"
    bank.mkdir()
    (bank / "general.md").write_text(SKILL_FILE)
    (bank / "clean.md").write_text(SKILL_FILE.replace("general", "clean").replace('"*"', "clean"))
    done = run(bank, "--form", "brief", "--output", output)
    assert done.exit_code == 0, done.output
    for caption in ("all 2 files, 6x12", "general, 6x12", "clean, 6x12"):
        assert caption in done.output
    with Image.open(output) as image:
        assert image.width > 3 * 392


def test_the_command_says_what_it_dropped(tmp_path):
    path = tmp_path / "episode.jsonl"
    turn = json.dumps({"role": "observation", "text": "You see nothing."})
    path.write_text("\n".join([turn] * 30))
    done = run(path, "--max-visual-tokens", 56, "--output", tmp_path / "page.png")
    # 56 tokens are 4 token rows of 28 px: 9 rows of 12 px, one of them the marker.
    assert "22 segments (22 rows) dropped" in done.output
