"""Text of the ALFWorld engine: textworld's context-sensitive grammar, parsed once and never copied.

The stock engine parses every template again at every step and deep-copies a context for every symbol. Here
all that can be parsed is parsed when the grammar is read, and symbols are only read. The texts are the same;
`tests/envs/alfworld/test_engine_equivalence.py` plays both side by side.

Differs on purpose: the stock engine runs `eval` on expressions found in a game file; here an expression may
only join names, attributes and literals.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from textworld.envs.pddl import textgen
from textworld.envs.pddl.logic import GameLogic
from textworld.logic import Rule

from skill0.errors import GameError

_EXPRESSION_NODES = (
    ast.Expression,
    ast.BinOp,
    ast.Add,
    ast.BoolOp,
    ast.Or,
    ast.Attribute,
    ast.Name,
    ast.Load,
)
_EXPRESSION_ATTRIBUTES = {"id", "name", "type", "definite", "indefinite", "noun", "adj", "desc"}


@dataclass(frozen=True)
class Scene:
    """What a text may speak of: the state, every entity, and the entities that placeholders stand for."""

    state: Any
    entities: Mapping[str, Any]
    mapping: Mapping[Any, Any]

    @property
    def variables(self) -> dict[str, Any]:
        """Placeholder name to entity, for expressions such as `r.name`."""
        return {
            placeholder.name: self.entities[variable.name] for placeholder, variable in self.mapping.items()
        }


@dataclass(frozen=True)
class GrammarAction:
    """A PDDL action's two texts: the command the player types and the rule that answers it."""

    template: str
    feedback: str


class Asked(NamedTuple):
    """The predicates and the placeholders that a text depends on."""

    predicates: frozenset[str]
    placeholders: frozenset[str]


class Expression(NamedTuple):
    """Python code such as `o.indefinite + ' ' + o.name`, and the placeholders in it."""

    code: CodeType
    names: frozenset[str]


class Grammar:
    """The rules of one grammar template, for one domain.

    Raises:
        GameError: the grammar does not parse, or computes something other than joined names.
    """

    def __init__(self, template: str, domain: str):
        try:
            self.logic = GameLogic(domain=domain, grammar=template)
        except Exception as error:  # tatsu has no common base for its failures
            raise GameError(f"the grammar does not parse: {type(error).__name__}: {error}") from error
        self._rules: dict[str, list[Any]] = dict(self.logic.grammar._rules)
        self.actions = {
            name: GrammarAction(action.template, action.feedback_rule)
            for name, action in self.logic.actions.items()
        }
        self._starts: dict[str, list[Any]] = {}
        self._queries: dict[str, Rule] = {}
        self._expressions: dict[str, Expression] = {}
        for text in ("#intro#", *(t for a in self.actions.values() for t in (a.template, a.feedback))):
            self._starts[text] = textgen._parse_and_convert(text, rule_name="symbols")
        self._prepare()

    def derive(self, start: str, scene: Scene) -> str:
        """The text of a start expression: "#intro#", or the template or feedback of an action.

        Raises:
            GameError: the expression leads to a symbol without an applicable rule.
        """
        return "".join(self._text(symbol, scene) for symbol in self._starts[start])

    def asks(self, start: str) -> Asked | None:
        """What a start expression depends on; `None` when it leads on to other rules."""
        predicates: set[str] = set()
        placeholders: set[str] = set()
        for symbol in _nested(self._starts[start]):
            if isinstance(symbol, textgen.NonterminalSymbol):
                return None
            if isinstance(symbol, textgen.EvalSymbol):
                placeholders |= self._expressions[symbol.expression].names
            elif isinstance(symbol, textgen.ConditionalSymbol) and symbol.given:
                query = self._queries[symbol.given]
                predicates |= {part.name.removeprefix("not_") for part in query.preconditions}
                placeholders |= {placeholder.name for placeholder in query.placeholders}
        return Asked(frozenset(predicates), frozenset(placeholders))

    def _prepare(self) -> None:
        """Parse every condition and compile every expression now: nothing is parsed while playing."""
        rules = [rule for alternatives in self._rules.values() for rule in alternatives]
        for rule in rules:
            if rule.condition:
                self._add_query(rule.condition)
        for symbols in (*self._starts.values(), *(rule.rhs for rule in rules)):
            for symbol in _nested(symbols):
                if isinstance(symbol, textgen.ConditionalSymbol) and symbol.given:
                    self._add_query(symbol.given)
                elif isinstance(symbol, textgen.EvalSymbol):
                    self._expressions[symbol.expression] = _compile_expression(symbol.expression)

    def _add_query(self, condition: str) -> None:
        if condition not in self._queries:
            self._queries[condition] = Rule.parse_conjunctive_query(condition)

    def _text(self, symbol: Any, scene: Scene) -> str:
        if isinstance(symbol, textgen.TerminalSymbol):
            return str(symbol)
        if isinstance(symbol, textgen.NonterminalSymbol):
            return "".join(self._text(part, scene) for part in self._pick(str(symbol), scene).rhs)
        if isinstance(symbol, textgen.EvalSymbol):
            code = self._expressions[symbol.expression].code
            return str(eval(code, {"__builtins__": {}}, scene.variables))
        if isinstance(symbol, textgen.ConditionalSymbol):
            return "".join(self._alternatives(symbol, scene))
        if isinstance(symbol, textgen.ListSymbol):
            return self._list(self._alternatives(symbol.symbol, scene), scene)
        raise GameError(f"the grammar has an unknown kind of symbol: {symbol!r}")

    def _pick(self, name: str, scene: Scene) -> Any:
        """The first rule of that name whose condition holds."""
        for rule in self._rules.get(name, ()):
            if not rule.condition or next(self._matches(rule.condition, scene), None) is not None:
                return rule
        raise GameError(f"the grammar has no applicable rule for '#{name}#'")

    def _matches(self, condition: str, scene: Scene) -> Iterator[Mapping[Any, Any]]:
        return scene.state.all_assignments(self._queries[condition], scene.mapping)

    def _alternatives(self, symbol: Any, scene: Scene) -> list[str]:
        """One text for each way in which the symbol's condition holds."""
        if not isinstance(symbol, textgen.ConditionalSymbol) or not symbol.given:
            return [self._text(getattr(symbol, "expression", symbol), scene)]
        scenes = (
            Scene(scene.state, scene.entities, {**scene.mapping, **match})
            for match in self._matches(symbol.given, scene)
        )
        return [self._text(symbol.expression, matched) for matched in scenes]

    def _list(self, texts: list[str], scene: Scene) -> str:
        """ "a, b, and c", with the separators that the grammar defines."""
        if not texts:
            return self._rule_text("list_empty", scene)
        if len(texts) == 1:
            return texts[0]
        separator = self._rule_text("list_separator", scene)
        return separator.join(texts[:-1]) + self._rule_text("list_last_separator", scene) + texts[-1]

    def _rule_text(self, name: str, scene: Scene) -> str:
        return "".join(self._text(part, scene) for part in self._pick(name, scene).rhs)


@lru_cache(maxsize=8)
def grammar_for(template: str, domain: str) -> Grammar:
    """The parsed grammar; parsing takes 0.1-0.2 s, once for each process. Hold `ENGINE_LOCK`."""
    return Grammar(template, domain)


def _nested(symbols: list[Any]) -> Iterator[Any]:
    """The symbols and those inside them."""
    for symbol in symbols:
        yield symbol
        if isinstance(symbol, textgen.ListSymbol):
            yield from _nested([symbol.symbol])
        elif isinstance(symbol, textgen.ConditionalSymbol):
            yield from _nested([symbol.expression])


def _compile_expression(expression: str) -> Expression:
    """Compile `o.indefinite + ' ' + o.name` and the like; refuse calls, subscripts and other attributes."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise GameError(f"the grammar's expression {expression!r} is not valid") from error
    for node in ast.walk(tree):
        fine = isinstance(node, _EXPRESSION_NODES) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        if not fine or (isinstance(node, ast.Attribute) and node.attr not in _EXPRESSION_ATTRIBUTES):
            raise GameError(
                f"the grammar computes {expression!r}, which only the stock engine does: use stock=True "
                "if you trust the game file"
            )
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Expression(compile(tree, "<grammar>", "eval"), names)
