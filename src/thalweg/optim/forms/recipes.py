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
from thalweg.optim.forms.scalars import Bound
from thalweg.optim.forms.settings import Reading, split

# A formula that branches in more ways than this is run anew at every step.
BRANCHES = 8
# To see whether a recipe leaves nothing out, it must also be right when one number is changed so.
NUDGES = (1 + 2.0**-10, 2.0, 3.0)


NO_SCALARS: Mapping[int, Tensor] = {}


class Answer(NamedTuple):
    """What a step needs to know of its formula."""

    program: Program
    numbers: Sequence[float]  # that occur in it
    tensors: Sequence[Tensor]  # of one number, that occur in it
    results: Mapping[int, Any]  # scalar state after the step, by slot


class Recipe(NamedTuple):
    """A program, and the function from floats and scalar state to answers, numbers and results."""

    program: Program
    answers: list[Any]
    calculate: Callable[..., tuple[list[Any], list[float], list[Any]]]


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

    def at(
        self,
        present: Sequence[bool],
        hyper: Reading,
        t: float | None = None,
        scalars: Mapping[int, Tensor] = NO_SCALARS,
    ) -> Answer:
        """The program, by a recipe where there is one.

        Args:
            present: for p, g and each slot, whether there is a tensor; the others are None.
            hyper: the hyperparameters.
            t: the count of steps, if the formula asks for it.
            scalars: what stands in scalar slots, by slot.
        """
        floats, others = hyper.split
        if floats is None:
            return self._run(present, hyper, t, scalars)
        values = floats if t is None else [*floats, t]
        if scalars:
            return self._answer(present, hyper, t, scalars, values, others)
        if (values, others, present) != self.asked:
            self.answered = self._answer(present, hyper, t, scalars, values, others)
            self.asked = (values, others, present)
        return self.answered

    def _run(self, present: Any, hyper: Any, t: Any, scalars: Mapping[int, Any]) -> Answer:
        """Run the formula on symbols."""
        bound = Bound(self.formula, scalars)
        known = hyper if t is None else {**hyper, "t": t}
        program, numbers, tensors = record(bound, present, known)
        return Answer(program, numbers, tensors, bound.results)

    def _answer(
        self,
        present: Sequence[bool],
        hyper: Reading,
        t: float | None,
        scalars: Mapping[int, Tensor],
        values: list[float],
        others: list[Any],
    ) -> Answer:
        key = (*present, *others)
        recipes = self.known.setdefault(key, [])
        if recipes is None:
            return self._run(present, hyper, t, scalars)
        for recipe in recipes:
            answers, numbers, results = recipe.calculate(*values, *scalars.values())
            if answers == recipe.answers:
                return Answer(recipe.program, numbers, [], dict(zip(scalars, results, strict=True)))
        everything = hyper if t is None else {**hyper, "t": t}
        learnt = self._learn(present, everything, scalars)
        if learnt is None or len(recipes) == BRANCHES:
            self.known[key] = None
        else:
            recipes.append(learnt)
        return self._run(present, hyper, t, scalars)

    def _learn(
        self, present: Sequence[bool], hyper: Mapping[str, Any], scalars: Mapping[int, Tensor]
    ) -> Recipe | None:
        """A recipe for these branches; None if the formula hides some of its arithmetic."""
        if any(x.dim() for x in scalars.values()):
            return None
        ledger = Ledger()
        entries = _floats(hyper, ledger.entry)
        held = {index: ledger.held(x) for index, x in scalars.items()}
        try:
            program, numbers, tensors, results = self._run(present, entries, None, held)
        except (AttributeError, RuntimeError, TypeError):  # it does more than sums with its state
            return None
        recipe = Recipe(program, ledger.answers, ledger.close(numbers, list(results.values())))
        floats, _ = split(hyper)
        changes = [(at, by) for at in range(len(floats or ()) + len(scalars)) for by in NUDGES]
        if not all(self._agrees(recipe, present, *_nudged(hyper, scalars, *c)) for c in changes):
            return None
        return None if tensors else recipe

    def _agrees(
        self,
        recipe: Recipe,
        present: Sequence[bool],
        hyper: Mapping[str, Any],
        scalars: Mapping[int, Tensor],
    ) -> bool:
        """Whether a recipe is right for these hyperparameters, or says that it is not for them."""
        try:
            expected = self._run(present, hyper, None, scalars)
            values = split(hyper)[0] or ()
            answers, numbers, results = recipe.calculate(*values, *scalars.values())
        except (ArithmeticError, TypeError, ValueError):  # these are no hyperparameters
            return True
        if any(isinstance(x, complex) for x in numbers):  # nor are these: a root of 1 - b2 < 0
            return True
        found = Answer(recipe.program, numbers, [], dict(zip(scalars, results, strict=True)))
        return answers != recipe.answers or found == expected


def _floats(hyper: Mapping[str, Any], change: Callable[[float], float]) -> dict[str, Any]:
    """The hyperparameters with every float changed, in the order of `_split`."""

    def changed(x: Any) -> Any:
        if type(x) is tuple:
            return tuple(map(changed, x))
        return change(x) if type(x) is float else x

    return {name: changed(x) for name, x in hyper.items()}


def _nudged(
    hyper: Mapping[str, Any], scalars: Mapping[int, Tensor], at: int, by: float
) -> tuple[dict[str, Any], dict[int, Tensor]]:
    """Everything, with what stands at one place changed a little, zero included."""
    places = count()
    floats = _floats(hyper, lambda x: (x or 1.0) * by if next(places) == at else x)
    kept = {
        index: (x if x else x + 1) * by if next(places) == at else x for index, x in scalars.items()
    }
    return floats, kept
