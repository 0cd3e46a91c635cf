"""BM25, its words and its terms beside Lucene itself, question for question.

    pip download pyserini==0.17.0 --no-deps && unzip -j pyserini-*.whl '*fatjar.jar'
    python benchmarks/lucene_equality.py anserini-0.14.3-fatjar.jar
    python benchmarks/lucene_equality.py anserini-0.14.3-fatjar.jar --passages wiki.jsonl.gz
    python benchmarks/lucene_equality.py anserini-0.14.3-fatjar.jar --write     # makes word_break.json anew

Needs Java 17 or newer; Lucene is asked by benchmarks/lucene/AskLucene.java. Compared are

    classes    what each code point counts as when text is cut into words, asked in 22 contexts each,
               with the package's table (word_break.json)
    words      of random strings of all these classes, and of the passages
    terms      of the same, and of every code point: lower case, stop words, stems
    search     order and scores, to the bit, of the best passages for random queries

Exit code 1 when anything differs; the first differences are shown.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path

from retrieval import passages as made_up_passages
from rich.console import Console
from rich.table import Table

from skill0.errors import RetrievalError
from skill0.retrieval import BM25Index, Passage
from skill0.retrieval.analysis import analyze
from skill0.retrieval.corpus import read_corpus
from skill0.retrieval.segmentation import segment

PROGRAM = Path(__file__).parent / "lucene" / "AskLucene.java"
TABLE = Path(str(files("skill0.retrieval"))) / "word_break.json"
SOURCE = (
    "Classes of code points for word segmentation, as the StandardTokenizer of Apache Lucene 8.11 acts on "
    "them (Unicode 9.0 word break rules, emoji data 11.0): found by asking it about every code point in 22 "
    "contexts, by benchmarks/lucene_equality.py --write."
)
LIKE = {
    0x41: ("letter",),
    0x5D0: ("hebrew_letter",),
    0x30: ("numeric",),
    0x3031: ("katakana",),
    0x300: ("extend",),
    0x200D: ("extend",),
    0xFE0E: ("extend",),
    0x5F: ("extend_num_let",),
    0x3A: ("mid_letter",),
    0x2C: ("mid_num",),
    0x2E: ("mid_num_let",),
    0x2E80: ("ideograph_or_hiragana",),
    0xE01: ("complex_context",),
    0xE31: ("extend", "complex_context"),
    0xA9: ("pictograph",),
    0x2139: ("letter", "pictograph"),
    0x261D: ("pictograph", "modifier_base"),
    0x1F3FB: ("emoji_modifier",),
    0x1F1E6: ("regional_indicator",),
}
"""A character of every behaviour that was found, and the classes it stands for. All others have none."""
ORDER = tuple(dict.fromkeys(name for names in LIKE.values() for name in names))
SEARCHES = ((0.9, 0.4, 50), (1.2, 0.75, 10), (2.0, 1.0, 3), (0.5, 0.0, 100))
"""k1, b, and how many passages."""


class Lucene:
    """Lucene in a process of its own, one for each question."""

    def __init__(self, jar: Path) -> None:
        if shutil.which("java") is None:
            raise RetrievalError(
                "java is not installed; on Debian or Ubuntu: apt-get install default-jdk-headless"
            )
        if not jar.is_file():
            raise RetrievalError(f"{jar}: no such file; the first line of --help says where it comes from")
        self.jar = jar

    def ask(self, *question: str, lines: Sequence[str] = ()) -> list[str]:
        """The lines of the answer."""
        command = ["java", "-XX:+UseSerialGC", "-Xmx3g", "-cp", str(self.jar), str(PROGRAM), *question]
        text = "".join(f"{line}\n" for line in lines)
        found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if found.returncode:
            raise RetrievalError(f"AskLucene {' '.join(question)} failed: {found.stderr[-2000:]}")
        return found.stdout.split("\n")[:-1]

    def tokens(self, what: str, texts: Sequence[str]) -> list[list[str]]:
        answer = self.ask(what, lines=[hexadecimal(text) for text in texts])
        return [[text_of(token) for token in line.split()] for line in answer]

    def search(
        self, passages: Sequence[Passage], queries: Sequence[str], k1: float, b: float, k: int
    ) -> list[list[tuple[str, int]]]:
        """For every query ids and the bits of their scores."""
        lines = [f"{hexadecimal(passage.id)} {hexadecimal(passage.contents)}" for passage in passages]
        asked = [hexadecimal(query) for query in queries]
        answer = self.ask("search", str(k1), str(b), str(k), lines=[*lines, "", *asked])
        hits = [[hit.split(":") for hit in line.split()] for line in answer]
        return [[(text_of(id_), int(score, 16)) for id_, score in found] for found in hits]


def hexadecimal(text: str) -> str:
    return text.encode("utf-16-be", "surrogatepass").hex()


def text_of(hexadecimal: str) -> str:
    return bytes.fromhex(hexadecimal).decode("utf-16-be", "surrogatepass")


def score_bits(score: float) -> int:
    return struct.unpack(">I", struct.pack(">f", score))[0]


def asked_classes(lucene: Lucene) -> dict[str, str]:
    """Class to ranges of code points, in the form of word_break.json."""
    ranges = []
    for line in lucene.ask("classes"):
        first, last, how = line.split(" ", 2)
        ranges.append((int(first, 16), int(last, 16), how))
    names_of = {
        how: names for code, names in LIKE.items() for first, last, how in ranges if first <= code <= last
    }
    found: dict[str, list[list[int]]] = {name: [] for name in ORDER}
    for first, last, how in ranges:
        for name in names_of.get(how, ()):
            if found[name] and found[name][-1][1] + 1 == first:
                found[name][-1][1] = last
            else:
                found[name].append([first, last])
    return {name: " ".join(map(range_text, spans)) for name, spans in found.items()}


def range_text(span: Sequence[int]) -> str:
    first, last = span
    return f"{first:x}" if first == last else f"{first:x}-{last:x}"


def random_texts(classes: dict[str, str], count: int) -> Iterator[str]:
    """Strings of a few classes each, with the marks that join and separate words."""
    draw, names = random.Random(0), list(classes)
    spans = {name: ranges.split() for name, ranges in classes.items()}
    marks = " .,'\"_:#*19ab\u200d\ufe0f\ufe0e\u20e3\xad\u2019\U0001f3fb\u05d0"
    for _ in range(count):
        some = draw.sample(names, draw.randint(1, 5))
        yield "".join(
            draw.choice(marks) if draw.random() < 0.2 else drawn(spans[draw.choice(some)], draw)
            for _ in range(draw.randint(1, 14))
        )


def drawn(spans: Sequence[str], draw: random.Random) -> str:
    first, _, last = draw.choice(spans).partition("-")
    return chr(draw.randint(int(first, 16), int(last or first, 16)))


def random_queries(passages: Sequence[Passage], count: int) -> list[str]:
    """One to twelve words each, drawn as they stand in the passages."""
    draw = random.Random(1)
    words = [word for passage in passages for word in passage.contents.split()]
    return [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(count)]


def compare(lucene: Lucene, passages: Sequence[Passage], texts: int, queries: int, console: Console) -> Table:
    """What was compared, how much, and how much of it is equal."""
    table = Table("compared", "in all", "equal", title="Beside Lucene", title_justify="left")

    def tell(what: str, ours: Sequence[object], theirs: Sequence[object], asked: Sequence[str]) -> None:
        different = [place for place, (mine, its) in enumerate(zip(ours, theirs, strict=True)) if mine != its]
        for place in different[:3]:
            console.print(f"{what}: {asked[place][:60]!a}")
            console.print(f"  ours   {ours[place]!a:.300}\n  Lucene {theirs[place]!a:.300}")
        table.add_row(what, f"{len(ours):,}", f"{len(ours) - len(different):,}")

    packaged = json.loads(TABLE.read_text(encoding="utf-8"))["classes"]
    classes = asked_classes(lucene)
    tell(
        "classes of characters", [packaged[name] for name in ORDER], [classes[name] for name in ORDER], ORDER
    )
    contents = [passage.contents for passage in passages]
    strings = [*random_texts(packaged, texts), *contents]
    tell("words of a text", [segment(text) for text in strings], lucene.tokens("words", strings), strings)
    strings += [f"a{chr(code)} {chr(code)}s" for code in range(0x80, 0x30000) if not 0xD800 <= code < 0xE000]
    tell("terms of a text", [analyze(text) for text in strings], lucene.tokens("terms", strings), strings)
    asked = random_queries(passages, queries)
    for k1, b, k in SEARCHES:
        hits = BM25Index.of(passages, k1, b).search(asked, k)
        ours = [[(hit.passage.id, score_bits(hit.score)) for hit in found] for found in hits]
        tell(f"best {k}, k1 {k1}, b {b}", ours, lucene.search(passages, asked, k1, b, k), asked)
    return table


def main() -> int:
    given = arguments()
    console = Console(highlight=False)
    try:
        lucene = Lucene(given.jar)
        if given.write:
            table = {"source": SOURCE, "classes": asked_classes(lucene)}
            TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
            console.print(f"wrote {TABLE}")
            return 0
        source = read_corpus(given.passages) if given.passages else made_up_passages(given.count)
        passages = list(islice(source, given.count))
        found = compare(lucene, passages, given.texts, given.queries, console)
    except RetrievalError as error:
        print(error, file=sys.stderr)
        return 2
    console.print(found)
    in_all, equal = (list(found.columns[place].cells) for place in (1, 2))
    return int(in_all != equal)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jar", type=Path, help="Anserini's jar, which holds Lucene 8")
    parser.add_argument("--passages", type=Path, help="a file of passages; made-up ones when not given")
    parser.add_argument("--count", type=int, default=10_000, help="at most so many passages")
    parser.add_argument("--texts", type=int, default=60_000, help="random strings to cut into words")
    parser.add_argument("--queries", type=int, default=3_000)
    parser.add_argument("--write", action="store_true", help="make word_break.json anew instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
