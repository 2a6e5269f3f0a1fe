"""Programs that are kept with a quick way to their numbers.

To run a formula on symbols at every step costs more than the step of a small network. So a program
is kept together with the function that computes its numbers from the hyperparameters (`numbers`),
and used again as long as the formula would take the same branches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from torch import Tensor

from thalweg.optim.forms.numbers import Ledger
from thalweg.optim.forms.program import Program, record

# A formula that branches in more ways than this is run anew at every step.
BRANCHES = 8
# To see whether a recipe leaves nothing out, it must also be right when one number is changed so.
NUDGES = (1 + 2.0**-10, 2.0, 3.0)


Answer = tuple[Program, list[float], list[Tensor]]


class Recipe(NamedTuple):
    """A program, and the function from hyperparameters to answers and numbers."""

    program: Program
    answers: list[Any]
    calculate: Callable[..., tuple[list[Any], list[float]]]


class Recipes:
    """What is known of one formula.

    Args:
        formula: a rule's.
    """

    def __init__(self, formula: Callable[..., Any]) -> None:
        self.formula = formula
        self.known: dict[Any, list[Recipe] | None] = {}
        self.asked: Any = None  # at the last step
        self.answered: Answer

    def at(self, present: Sequence[bool], hyper: Mapping[str, Any]) -> Answer:
        """What `record` gives, by a recipe where there is one."""
        values, others = _split(hyper)
        if values is None:
            return record(self.formula, present, hyper)
        if (values, others, present) != self.asked:
            self.answered = self._answer(present, hyper, values, others)
            self.asked = (values, others, present)
        return self.answered

    def _answer(
        self,
        present: Sequence[bool],
        hyper: Mapping[str, Any],
        values: list[float],
        others: list[Any],
    ) -> Answer:
        key = (*present, *others)
        recipes = self.known.setdefault(key, [])
        if recipes is None:
            return record(self.formula, present, hyper)
        for recipe in recipes:
            answers, numbers = recipe.calculate(*values)
            if answers == recipe.answers:
                return recipe.program, numbers, []
        learnt = self._learn(present, hyper)
        if learnt is None or len(recipes) == BRANCHES:
            self.known[key] = None
            return record(self.formula, present, hyper)
        recipes.append(learnt)
        return learnt.program, learnt.calculate(*values)[1], []

    def _learn(self, present: Sequence[bool], hyper: Mapping[str, Any]) -> Recipe | None:
        """A recipe for these branches; None if the formula hides some of its arithmetic."""
        ledger = Ledger()
        program, numbers, scalars = record(self.formula, present, _floats(hyper, ledger.entry))
        recipe = Recipe(program, ledger.answers, ledger.close(numbers))
        values, _ = _split(hyper)
        for at in range(len(values or ())):
            if not all(self._agrees(recipe, present, _nudged(hyper, at, by)) for by in NUDGES):
                return None
        return None if scalars else recipe

    def _agrees(self, recipe: Recipe, present: Sequence[bool], hyper: Mapping[str, Any]) -> bool:
        """Whether a recipe is right for these hyperparameters, or says that it is not for them."""
        try:
            expected = record(self.formula, present, hyper)
            answers, numbers = recipe.calculate(*(_split(hyper)[0] or ()))
        except (ArithmeticError, TypeError, ValueError):  # these are no hyperparameters
            return True
        if any(isinstance(x, complex) for x in numbers):  # nor are these: a root of 1 - b2 < 0
            return True
        return answers != recipe.answers or (recipe.program, numbers, []) == expected


def _split(hyper: Mapping[str, Any]) -> tuple[list[float] | None, list[Any]]:
    """The floats among the hyperparameters and the others; no floats if there is a tensor."""
    values: list[float] = []
    others: list[Any] = []
    for x in hyper.values():
        if type(x) is tuple:
            for y in x:
                (values if type(y) is float else others).append(y)
        else:
            (values if type(x) is float else others).append(x)
    return (None if any(isinstance(x, Tensor) for x in others) else values), others


def _floats(hyper: Mapping[str, Any], change: Callable[[float], float]) -> dict[str, Any]:
    """The hyperparameters with every float changed, in the order of `_split`."""

    def changed(x: Any) -> Any:
        if type(x) is tuple:
            return tuple(map(changed, x))
        return change(x) if type(x) is float else x

    return {name: changed(x) for name, x in hyper.items()}


def _nudged(hyper: Mapping[str, Any], at: int, by: float) -> dict[str, Any]:
    """The hyperparameters with the float at one place changed a little, zero included."""
    places = count()
    return _floats(hyper, lambda x: (x or 1.0) * by if next(places) == at else x)
