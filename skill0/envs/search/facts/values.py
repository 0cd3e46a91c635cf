"""Reading the Factbook's words: each function gives the one value that a text tells, or nothing where the
text could be read in two ways. Texts are without markup."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """What is known: the value, other names for it, and a number where it is one. `shared` says that the
    source tells it of another land as well, if only among others: it cannot stand for this one."""

    text: str
    aliases: tuple[str, ...] = ()
    number: float | None = None
    year: str = ""
    shared: bool = False


def read_capital(book: str, geonames: str) -> Value | None:
    head, _, rest = book.partition(" (")
    if ";" in book or "capital" in rest or "," in head or fold(head) != fold(geonames) or not head:
        return None
    spelt_otherwise = [] if "on " in rest else re.split(r"[,/] ?", rest.rstrip(")"))
    return _value(head, [geonames, *spelt_otherwise])


def read_named(text: str) -> Value | None:
    """A name, with its other form in brackets."""
    found = re.fullmatch(r"([^\d(),;/|]+?)(?: \(([^\d();/]+)\))?", text)
    return _value(found[1], [found[2] or ""]) if found else None


def read_anthem(title: str, history: str) -> Value | None:
    """The only anthem. The package keeps one of several: where that is a royal one, there was another."""
    found = re.fullmatch(r'"([^"]+)" ?(?:\(([^()"]+)\))?', title)
    if not found or found[1].startswith("God Save the King") or re.search(r"\broyal\b|\bsecond", history):
        return None
    others = re.findall(r'also known as "([^"]+)"', history)
    return _value(found[1].rstrip(","), [found[2] or "", *others])


def read_independence(text: str) -> Value | None:
    found = re.fullmatch(r"(\d{1,2} [A-Z][a-z]+ (\d{4})) \(from [^();]+\)", text)
    return Value(found[1], (), float(found[2])) if found else None


def read_currency(text: str, code: str) -> Value | None:
    found = re.fullmatch(r"([^\d(),;/]+) \(([A-Z]{3})\) per US dollar -", text)
    if not found or found[2] != code:
        return None
    single = found[1][:-1] if re.search(r"[^s]s$", found[1]) else ""
    return _value(found[1], [single, code])


def read_first_export(text: str) -> Value | None:
    found = re.fullmatch(r"([^\d(),;/]+), .*\((\d{4})\)", text)
    return Value(found[1].strip(), (), None, found[2]) if found else None


def read_first_customer(text: str) -> Value | None:
    found = re.fullmatch(r"([^\d(),;/]+) (\d+)%, [^,]+? (\d+)%.*\((\d{4})\)", text)
    if not found or int(found[2]) <= int(found[3]):
        return None
    others = {"USA": ["US", "United States"], "US": ["USA", "United States"], "UK": ["United Kingdom"]}
    return Value(found[1].strip(), tuple(others.get(found[1].strip(), ())), None, found[4])


def read_symbol(text: str) -> Value | None:
    found = re.fullmatch(r"([a-zA-Z' -]+?)(?: \([^()]*\))?", text)
    several = re.search(r"\b(?:no|none|and|or)\b", found[1]) if found else None
    return _value(found[1], []) if found and not several else None


def read_demonym(text: str) -> Value | None:
    found = re.fullmatch(r"([A-Z][a-z]+)\(s\)", text)
    return _value(found[1], [f"{found[1]}s"]) if found else None


def read_population(text: str) -> Value | None:
    found = re.fullmatch(r"([\d,]+) \((\d{4}) est\.\)", text)
    return Value(found[1], (), _number(found[1]), found[2]) if found else None


def read_area(text: str) -> Value | None:
    found = re.fullmatch(r"([\d,]+) sq km", text)
    return _measured(found[1], "square kilometres", "sq km") if found else None


def read_peak(text: str, elevation: bool) -> Value | None:
    found = re.match(r"([^\d(),;/]+?) (?:\([^)]*\) )?(\d[\d,]*) m\b", text)
    if not found or found[1].startswith("unnamed"):
        return None
    return _measured(found[2], "metres", "m") if elevation else _value(found[1], [])


def _measured(figure: str, unit: str, short: str) -> Value:
    return Value(f"{figure} {unit}", (f"{figure} {short}", figure), _number(figure))


_STOP_WORDS = {"an", "as", "at", "be", "by", "if", "in", "is", "it", "no", "of", "on", "or", "to"}


def read_domain(book: str, geonames: str) -> Value | None:
    """An internet country code. Where it is an English word that engines leave out, nobody can search for
    it."""
    if book != geonames or not re.fullmatch(r"\.[a-z]{2}", book):
        return None
    return Value(book, (book[1:],), shared=book[1:] in _STOP_WORDS)


def _value(text: str, aliases: list[str]) -> Value:
    text = text.strip()
    others = dict.fromkeys(alias.strip() for alias in aliases)
    return Value(text, tuple(other for other in others if other and other != text))


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def fold(name: str) -> str:
    """A name without accents and letter case, to be compared."""
    plain = unicodedata.normalize("NFKD", name.replace("ı", "i"))
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold().replace("-", " ").strip()
