"""YAML front matter between two `---` lines, with the line of every key, so that errors can name it.

Left out: YAML documents of any other shape than a mapping with text keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from skill0.errors import SkillError
from skill0.skills.reading import SourceText, one_line

_FIRST_LINE = 2
"""Line of the file on which the YAML begins, after the opening `---`."""


@dataclass(frozen=True)
class FrontMatter:
    """`values` as loaded; `lines` maps "key" and "key.inner key" to lines of the file; `body` starts on
    `body_line`."""

    source: SourceText
    values: Mapping[str, Any]
    lines: Mapping[str, int]
    body: str
    body_line: int

    def line(self, key: str) -> int:
        """The line of a key, or of the opening `---` for one that is not there."""
        return self.lines.get(key, 1)

    def text(self, key: str) -> str:
        """The text under a key such as "name" or "metadata.title"; "" when it is absent or null."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.source.fail(
                self.line(key), f"`{key}` must be text, not {type(value).__name__}; put it in quotes"
            )
        return one_line(value)

    def number(self, key: str) -> int | None:
        """The whole number under a key, written bare or as text; None when it is absent or null."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return None
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,9}", str(value)):
            raise self.source.fail(self.line(key), f"`{key}` must be a whole number, not {value!r}")
        return int(value)

    def words(self, key: str) -> tuple[Any, ...]:
        """The list under a key, or the words of its text; empty when it is absent or null."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            return ()
        if isinstance(value, list):
            return tuple(value)
        return tuple(self.text(key).split())


def split_front_matter(source: SourceText, *, repair: bool = False) -> FrontMatter:
    """Split a file into front matter and body.

    With `repair`, a value that is not valid YAML because of a colon in it is quoted and tried again.
    Raises `SkillError` with the line when there is no front matter, it is not closed, not valid YAML,
    not a mapping, or has a key twice.
    """
    lines = source.text.split("\n")
    if lines[0].rstrip() != "---":
        raise source.fail(1, "no front matter; the file must begin with a line `---`, then `name: ...`")
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise source.fail(1, "the front matter is not closed; end it with a line `---`")
    text = "\n".join(lines[1:end])
    try:
        values, where = _load(text, source)
    except SkillError:
        if not repair:
            raise
        values, where = _load("\n".join(_quoted(line) for line in lines[1:end]), source)
    return FrontMatter(source, values, where, "\n".join(lines[end + 1 :]), end + 2)


def dump_front_matter(values: Mapping[str, Any]) -> str:
    """Front matter with its two `---` lines, every value on one line, in the order given."""
    text = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)
    return f"---\n{text}---\n"


class _Dumper(yaml.SafeDumper):
    """Lists on one line: `[a, b]`."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def _load(text: str, source: SourceText) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        where = _key_lines(node, source)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = _FIRST_LINE + (mark.line if mark else 0)
        raise source.fail(line, f"the front matter is not valid YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = _FIRST_LINE + text[: error.position].count("\n")
        raise source.fail(line, f"the front matter is not valid YAML: {error.reason}") from None
    except (ValueError, RecursionError) as error:  # an impossible date, a thousand nested brackets
        raise source.fail(_FIRST_LINE, f"the front matter is not valid YAML: {error}") from None
    return values, where


def _key_lines(node: yaml.Node | None, source: SourceText) -> dict[str, int]:
    if not isinstance(node, yaml.MappingNode):
        raise source.fail(_FIRST_LINE, "the front matter must be `key: value` lines")
    where: dict[str, int] = {}
    for key, value in node.value:
        _remember(key, "", where, source)
        if isinstance(value, yaml.MappingNode):
            for inner, _ in value.value:
                _remember(inner, f"{key.value}.", where, source)
    return where


def _remember(key: yaml.Node, prefix: str, where: dict[str, int], source: SourceText) -> None:
    line = _FIRST_LINE + key.start_mark.line
    if not isinstance(key, yaml.ScalarNode):
        raise source.fail(line, "a key of the front matter must be text")
    name = prefix + key.value
    if name in where:
        raise source.fail(line, f"`{name}` is already given on line {where[name]}; keep one")
    where[name] = line


def _quoted(line: str) -> str:
    match = re.fullmatch(r"([A-Za-z][\w-]*):[ \t]+([^\"'\[{>|].*)", line.rstrip())
    return f"{match[1]}: {json.dumps(match[2], ensure_ascii=False)}" if match else line
