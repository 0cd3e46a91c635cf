"""The facts of a running game, and queries over them: textworld's `PddlState`, told what it would work out.

A query that the stock state answers by sorting all facts of a kind is answered by sorting those that can
match; the answers come in the same order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fast_downward
from textworld.envs.pddl.logic import PddlState
from textworld.logic import Proposition, Signature, Variable

from skill0.envs.alfworld.grammar import Grammar


def new_fact(name: str, arguments: tuple[Variable, ...]) -> Proposition:
    """A proposition that goes when its game goes.

    `Proposition(...)` keeps every proposition ever made in a table of the process: 0.7 MB for each official
    game played, 2.5 GB for the train split. Propositions are compared by value, so nothing else changes.
    """
    return type.__call__(Proposition, name, arguments)


def parse_atom(text: str, object_types: Mapping[str, str]) -> tuple[str, tuple[Variable, ...]]:
    """The library's "NegatedAtom opened(cabinet_bar_1)" as ("not_opened", (cabinet_bar_1,))."""
    kind, _, rest = text.partition(" ")
    name, _, inside = rest.partition("(")
    arguments = [argument for argument in inside[:-1].split(", ") if argument]
    prefix = "not_" if kind == "NegatedAtom" else ""
    return prefix + name, tuple(Variable(argument, object_types[argument]) for argument in arguments)


class Facts(NamedTuple):
    """The four containers in which textworld's `State` keeps its facts."""

    by_signature: dict[Any, set[Proposition]]
    variables: dict[str, Variable]
    variables_by_type: dict[str, set[Variable]]
    variable_counts: Counter[str]

    def copy(self) -> Facts:
        return Facts(
            defaultdict(set, {signature: set(facts) for signature, facts in self.by_signature.items()}),
            dict(self.variables),
            defaultdict(set, {kind: set(variables) for kind, variables in self.variables_by_type.items()}),
            Counter(self.variable_counts),
        )


class FastState(PddlState):
    """A `PddlState` that is told its facts. Effects and queries are the stock ones."""

    def __init__(self, library: Any, grammar: Grammar, object_types: Mapping[str, str], facts: Facts):
        # The parent's constructor translates the problem; all that it sets and others use is set here.
        self._logic = grammar.logic
        self.downward_lib = library
        self.name2type = object_types
        self._facts, self._vars_by_name, self._vars_by_type, self._var_counts = facts
        self._operators: dict[int, Any] = {}

    def applicable_operators(self) -> dict[bytes, Any]:
        """The operators that can be applied now, by name; the first of those that share one."""
        count = self.downward_lib.get_applicable_operators_count()
        operators = (fast_downward.Operator * count)()
        self.downward_lib.get_applicable_operators(operators)
        self._operators = {operator.id: operator for operator in operators}
        first: dict[bytes, Any] = {}
        for operator in operators:
            first.setdefault(operator._name, operator)
        return first

    def apply(self, action: Any) -> None:
        """Apply an operator; its effects become facts, a negated effect the fact "not_...", as in stock."""
        effects = (fast_downward.Atom * action.nb_effect_atoms)()
        self.downward_lib.apply_operator(action.id, effects)
        for effect in effects:
            name, arguments = parse_atom(effect.name, self.name2type)
            negated = name.removeprefix("not_") if name.startswith("not_") else f"not_{name}"
            self.remove_fact(new_fact(negated, arguments))
            self.add_fact(new_fact(name, arguments))

    def _all_applicable_assignments(
        self, rule: Any, mapping: dict, used_vars: set, new_phs_by_depth: list, depth: int
    ) -> Iterator[Mapping[Any, Any]]:
        """As the parent's, which sorts every fact of the signature before looking at any."""
        if depth >= len(rule.preconditions):
            yield from super()._all_applicable_assignments(rule, mapping, used_vars, new_phs_by_depth, depth)
            return
        predicate = rule.preconditions[depth]
        parameters = predicate.parameters
        bound = [(i, mapping[p]) for i, p in enumerate(parameters) if mapping.get(p) is not None]
        kinds = [self._logic.types.get(kind) for kind in predicate.signature.types]
        for subtypes in self._logic.types.multi_subtypes(kinds):
            signature = Signature(predicate.signature.name, [kind.name for kind in subtypes])
            facts = [
                fact
                for fact in self.facts_with_signature(signature)
                if all(fact.arguments[i] == variable for i, variable in bound)
            ]
            for fact in sorted(facts):
                for parameter, variable in zip(parameters, fact.arguments, strict=False):
                    existing = mapping.get(parameter)
                    if existing is None:
                        if variable in used_vars:
                            break
                        mapping[parameter] = variable
                        used_vars.add(variable)
                    elif existing != variable:
                        break
                else:
                    yield from self._all_applicable_assignments(
                        rule, mapping, used_vars, new_phs_by_depth, depth + 1
                    )
                for parameter in new_phs_by_depth[depth]:
                    used_vars.discard(mapping.pop(parameter, None))
