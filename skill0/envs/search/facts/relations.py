"""The relations of the world of facts: where each is told, in which words, and how it is asked about.

Every relation gives a subject exactly one value. `{subject}` is an entity or, in a question of several
hops, the words that stand for it; `{value}` what is told.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Questions which of two subjects comes first; `largest` or smallest number wins. `{first}` and
    `{second}` are the subjects. `margin` is the least ratio of the numbers, or their least difference if
    `absolute`."""

    questions: tuple[str, ...]
    largest: bool
    margin: float = 1.25
    absolute: bool = False


@dataclass(frozen=True)
class Relation:
    """One kind of fact.

    Args:
        name: what sources call it.
        topic: the title of the passage that tells it.
        sentence: how it is told.
        questions: how it is asked, given the subject.
        phrase: the same as a noun, to be put at the end of a longer question; empty where that would be odd.
        keyword: what a good query says beside the subject.
        inverse: how the subject is asked for, given the value; only used where no other subject has that
        value. clause: words that stand for the subject, given the value, as the start of a longer
        question. comparisons: see `Comparison`.
    """

    name: str
    topic: str
    sentence: str
    questions: tuple[str, ...]
    phrase: str
    keyword: str
    inverse: tuple[str, ...] = ()
    clause: str = ""
    comparisons: tuple[Comparison, ...] = ()


COUNTRY_RELATIONS = (
    Relation(
        "capital",
        "Government of {subject}",
        "The capital of {subject} is {value}.",
        (
            "What is the capital of {subject}?",
            "Which city is the capital of {subject}?",
            "Name the capital city of {subject}.",
        ),
        "the capital of {subject}",
        "capital",
        ("Which country has {value} as its capital?", "{value} is the capital of which country?"),
        "the country whose capital is {value}",
    ),
    Relation(
        "legislature",
        "Government of {subject}",
        "The legislature of {subject} is called {value}.",
        ("What is the legislature of {subject} called?", "What is the name of the legislature of {subject}?"),
        "the name of the legislature of {subject}",
        "legislature",
    ),
    Relation(
        "independence",
        "Government of {subject}",
        "{subject} became independent on {value}.",
        ("When did {subject} become independent?", "On which date did {subject} become independent?"),
        "the date on which {subject} became independent",
        "independent",
        comparisons=(
            Comparison(
                (
                    "Which country became independent first, {first} or {second}?",
                    "Did {first} or {second} become independent earlier?",
                ),
                largest=False,
                margin=3,
                absolute=True,
            ),
        ),
    ),
    Relation(
        "currency",
        "Economy of {subject}",
        "People in {subject} pay in {value}.",
        ("What is the currency of {subject}?", "Which currency do people pay with in {subject}?"),
        "the currency of {subject}",
        "economy pay",
    ),
    Relation(
        "export",
        "Economy of {subject}",
        "In {year} the largest export of {subject} was {value}.",
        (
            "What was the largest export of {subject} in {year}?",
            "Which product did {subject} export most of in {year}?",
        ),
        "",
        "largest export",
    ),
    Relation(
        "customer",
        "Economy of {subject}",
        "In {year} most of what {subject} exported went to one buyer, namely {value}.",
        (
            "Who bought most of the exports of {subject} in {year}?",
            "To which buyer did most exports of {subject} go in {year}?",
        ),
        "",
        "exported buyer",
    ),
    Relation(
        "anthem",
        "National symbols of {subject}",
        'The national anthem of {subject} is "{value}".',
        (
            "What is the title of the national anthem of {subject}?",
            "What is the national anthem of {subject} called?",
        ),
        "the title of the national anthem of {subject}",
        "national anthem",
        (
            'Which country has the national anthem "{value}"?',
            'Of which country is "{value}" the national anthem?',
        ),
        'the country whose national anthem is "{value}"',
    ),
    Relation(
        "symbol",
        "National symbols of {subject}",
        "The national symbol of {subject} is the {value}.",
        ("What is the national symbol of {subject}?",),
        "the national symbol of {subject}",
        "national symbol",
        ("Which country has the {value} as its national symbol?",),
    ),
    Relation(
        "demonym",
        "People of {subject}",
        "Someone from {subject} is called {value}.",
        ("What is someone from {subject} called?", "What is the word for a person from {subject}?"),
        "the word for a person from {subject}",
        "people called",
    ),
    Relation(
        "population",
        "People of {subject}",
        "In {year} the population of {subject} was estimated at {value}.",
        ("What was the estimated population of {subject} in {year}?",),
        "",
        "people population",
        comparisons=(
            Comparison(
                (
                    "Which country has the larger population, {first} or {second}?",
                    "Do more people live in {first} or in {second}?",
                ),
                largest=True,
            ),
            Comparison(("Which country has fewer people, {first} or {second}?",), largest=False),
        ),
    ),
    Relation(
        "area",
        "Geography of {subject}",
        "The area of {subject} is {value}.",
        ("What is the area of {subject}?", "How large is the territory of {subject}?"),
        "the area of {subject}",
        "geography area",
        comparisons=(
            Comparison(
                (
                    "Which country has the larger area, {first} or {second}?",
                    "Which is the bigger country by area, {first} or {second}?",
                ),
                largest=True,
            ),
            Comparison(("Which country has the smaller area, {first} or {second}?",), largest=False),
        ),
    ),
    Relation(
        "peak",
        "Geography of {subject}",
        "The highest point of {subject} is {value}.",
        ("What is the highest point of {subject}?", "What is the name of the highest point of {subject}?"),
        "the highest point of {subject}",
        "highest point",
        ("Which country has {value} as its highest point?", "{value} is the highest point of which country?"),
        "the country whose highest point is {value}",
    ),
    Relation(
        "elevation",
        "Geography of {subject}",
        "The highest point of {subject} reaches an elevation of {value}.",
        (
            "How high is the highest point of {subject}?",
            "What elevation does the highest point of {subject} reach?",
        ),
        "the elevation of the highest point of {subject}",
        "highest point elevation",
        comparisons=(
            Comparison(
                ("Which country has the higher highest point, {first} or {second}?",),
                largest=True,
            ),
        ),
    ),
    Relation(
        "neighbour",
        "Geography of {subject}",
        "By land {subject} borders on one country only, which is {value}.",
        ("On which only country does {subject} border by land?",),
        "",
        "borders by land",
    ),
    Relation(
        "domain",
        "Communications of {subject}",
        "Internet addresses of {subject} end in {value}.",
        (
            "In what do internet addresses of {subject} end?",
            "What is the internet country code of {subject}?",
        ),
        "the ending of internet addresses of {subject}",
        "communications internet addresses",
        ("Which country has internet addresses that end in {value}?",),
        "the country whose internet addresses end in {value}",
    ),
    Relation(
        "telephone",
        "Communications of {subject}",
        "Telephone numbers of {subject} begin with {value}.",
        ("With what do telephone numbers of {subject} begin?",),
        "the beginning of telephone numbers of {subject}",
        "communications telephone numbers",
        ("Which country has telephone numbers that begin with {value}?",),
    ),
)

CITY_RELATIONS = (
    Relation(
        "country",
        "{subject}",
        "{subject} is a city in {value}.",
        ("In which country is the city of {subject}?", "Which country is {subject} a city in?"),
        "",
        "city",
    ),
    Relation(
        "inhabitants",
        "{subject}",
        "GeoNames gives {subject} {value} inhabitants.",
        ("How many inhabitants does GeoNames give {subject}?",),
        "",
        "inhabitants",
        comparisons=(
            Comparison(
                (
                    "Which city has more inhabitants, {first} or {second}?",
                    "Which is the larger city by inhabitants, {first} or {second}?",
                ),
                largest=True,
            ),
        ),
    ),
    Relation(
        "zone",
        "{subject}",
        "Clocks in {subject} follow the time zone {value}.",
        ("Which time zone do clocks in {subject} follow?", "What is the time zone of the city of {subject}?"),
        "",
        "time zone",
    ),
)

CITY_CLAUSE = "the country in which the city of {subject} lies"
NEIGHBOUR_CLAUSE = "the only country that {subject} borders on by land"
