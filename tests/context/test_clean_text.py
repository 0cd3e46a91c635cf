"""Normalisation: whatever comes in, only drawable characters go on, and every change is counted."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill0.context.atlas import load_atlas
from skill0.context.text import clean
from skill0.context.wide import FILLER, load_wide

DRAWABLE = load_atlas("6x12").drawable
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included


@pytest.mark.parametrize(
    ("given_text", "shown", "substitutions", "normalisations"),
    [
        ("put mug 1 in sink", "put mug 1 in sink", {}, {}),
        ("a\r\nb\rc\vd\u2028e", "a\nb\nc\nd\ne", {}, {"line end": 4}),
        ("e\u0301", "é", {}, {"composition": 1}),
        ("a\tb", "a   b", {}, {"tab": 1}),
        ("a\u00a0b\u3000c", "a b c", {}, {"space": 2}),
        ("1—2", "1–2", {}, {"look-alike": 1}),
        ("\u202eevil\u202c", "evil", {}, {"bidirectional control": 2}),
        ("\ufeffa\u200bb\u00ad", "ab", {}, {"invisible character": 3}),
        ("a\x1b[0m\x00", "a\\x1b[0m\\x00", {"U+001B": 1, "U+0000": 1}, {}),
        ("中a文", f"中{FILLER}a文{FILLER}", {}, {}),
        ("😀\ufe0f", f"😀{FILLER}", {}, {"invisible character": 1}),
        ("龘龘", "<U+9F98><U+9F98>", {"U+9F98": 2}, {}),
        ("ＡＢ：ｶ", f"AB:カ{FILLER}", {}, {"width": 4}),
        ("\uffa1\uffff", "<U+FFA1><U+FFFF>", {"U+FFA1": 1, "U+FFFF": 1}, {}),
        ("\ud800", "<U+D800>", {"U+D800": 1}, {}),
        ("x\u0302\u0302", "x<U+0302><U+0302>", {"U+0302": 2}, {}),
    ],
)
def test_what_is_shown_for_what(given_text, shown, substitutions, normalisations):
    cleaned = clean(given_text, DRAWABLE)
    assert (cleaned.text, cleaned.substitutions, cleaned.normalisations) == (
        shown,
        substitutions,
        normalisations,
    )


@given(any_text)
def test_any_string_becomes_drawable(text):
    assert set(clean(text, DRAWABLE).text) <= DRAWABLE | load_wide().drawable | {"\n", FILLER}


@given(any_text)
def test_cleaning_twice_changes_nothing_more(text):
    once = clean(text, DRAWABLE).text
    again = clean(once.replace(FILLER, ""), DRAWABLE)
    assert (again.text, again.substitutions) == (once, {})
    assert set(again.normalisations) <= {"composition"}  # what an invisible character stood between


@given(any_text)
def test_no_change_goes_uncounted(text):
    cleaned = clean(text, DRAWABLE)
    if not cleaned.substitutions and not cleaned.normalisations:
        assert cleaned.text.replace(FILLER, "") == text


@given(any_text)
def test_every_character_is_shown_escaped_or_counted_as_taken_out(text):
    cleaned = clean(text, DRAWABLE)
    escapes = sum(cleaned.substitutions.values())
    removed = sum(
        cleaned.normalisations.get(kind, 0) for kind in ("bidirectional control", "invisible character")
    )
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    # An escape is as long as its code point's name; a tab is as long as the way to its stop.
    escape_length = sum(
        count * (len(name) + 2 if int(name[2:], 16) > 0x9F else 4)
        for name, count in cleaned.substitutions.items()
    )
    if not cleaned.normalisations.get("tab"):
        assert len(cleaned.text.replace(FILLER, "")) == len(composed) - escapes - removed + escape_length
