"""The engine: runs any rule on any parameters, in forms that must agree.

    each       the formula on one parameter after the other: the definition of correct
    together   the formula on all of them at once, through `torch._foreach_*`
    blocks     pointwise rules: all parameters as one long vector, in pieces that stay in the
               processor's cache; a large parameter is cut, small ones are joined
    compiled   pointwise rules: one pass over the memory, compiled at the first step
    auto       what makes the whole run shortest: on a CPU `blocks`, and `compiled` once the run has
               been long enough for the compilation to pay; elsewhere `together`

A rule that is not pointwise has the form `each` alone, on tensors in their own shapes.

On a CPU, in float32 and float64, all but `compiled` give PyTorch's own bits wherever PyTorch has
the rule. Only the engine writes into tensors; formulas are pure, and `p.grad` is only read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from thalweg.optim.forms.compiled import compiled, compiled_if_possible
from thalweg.optim.forms.joined import blocked, joined
from thalweg.optim.forms.lanes import Lane, Lanes
from thalweg.optim.forms.recipes import Recipes
from thalweg.optim.forms.scalars import Bound
from thalweg.optim.forms.settings import Reading, Settings
from thalweg.optim.forms.whole import each, together
from thalweg.optim.hyperparameters import nearest
from thalweg.optim.options import Options
from thalweg.optim.options.precision import Group, Precision, with_remainder
from thalweg.optim.rule import Rule

if TYPE_CHECKING:
    from thalweg.optim.forms.standins import Across

FORMS = ("auto", "each", "together", "blocks", "compiled")

# Compiling takes about 0.15 s and then saves about 1.5 ns an element a step (Adam, float32, two CPU
# cores). To rent until the rent paid equals the price costs at most twice what the best choice in
# hindsight would. Counted in elements, not by the clock, so that equal runs change at equal steps.
COMPILE_PAYS = 1e8
# Half-precision kernels round differently at the end of a vector, so where it ends must not change.
CUTTABLE = (torch.float32, torch.float64)


Pair = tuple[Lane, Reading]  # a lane with its hyperparameters


class Engine:
    """Advances parameters by a rule.

    Args:
        rule: the formula.
        form: one of `FORMS`.
        name: what to call the optimizer in messages.
        options: how 16-bit parameters are rounded, and in which type state is kept.

    Raises:
        ValueError: an unknown form, or one that the rule does not permit.
    """

    def __init__(
        self,
        rule: Rule,
        form: str = "auto",
        name: str | None = None,
        options: Options | None = None,
    ) -> None:
        self.name, self.form = name or rule.name, form
        self.options = options = options or Options()
        self.rule = with_remainder(rule) if options.rounding == "kahan" else rule
        rule = self.rule
        self.precision = Precision(options.rounding, options.widens, "pointwise" in rule.facts)
        self.groups: list[Lanes] = []
        self.recipes = Recipes(rule.formula)
        self.settings: list[Settings] = []
        self.scalars = any(s.scalar for s in rule.slots)
        self.offsets = any("offset" in s.asks for s in rule.slots)
        self.across: Across | None = None  # how to make numbers of parts numbers of all
        self.elements_seen = 0
        self.may_compile = True
        if form not in FORMS:
            raise ValueError(f"{self.name}(form={form!r}): no such form. {nearest(form, FORMS)}")
        if form not in ("auto", "each") and "pointwise" not in rule.facts:
            raise ValueError(
                f"{self.name}(form={form!r}): {rule.name} is not declared pointwise, so it needs "
                "one whole tensor at a time. Use form='auto', or add the fact 'pointwise' to the "
                "rule if it holds."
            )

    def step(self, groups: Sequence[Group], state: Any) -> None:
        """Advance every parameter that has a gradient by one step.

        Args:
            groups: parameter groups, each with `params` and all hyperparameters of the rule.
            state: maps a parameter to the dictionary of its state; filled and updated in place.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        self.precision.begin(groups, self.options.rounding_seed)
        pairs: list[Pair] = []
        for at, lanes in enumerate(self.lanes(groups, state)):
            hyper = self.settings[at].of(groups[at])
            pairs += [(lane, hyper) for lane in lanes]
        summaries = self._summaries(pairs, state) if self.rule.summaries and pairs else {}
        for lane, hyper in pairs:
            self._advance(lane, Reading(hyper, **summaries) if summaries else hyper)
        for every in self.groups if self.scalars else ():
            every.seal()

    def lanes(self, groups: Sequence[Mapping[str, Any]], state: Any) -> Iterator[list[Lane]]:
        """For each group its lanes, with the step counted and missing state started."""
        offset = 0
        for index, group in enumerate(groups):
            if index == len(self.groups):
                pointwise, kind = "pointwise" in self.rule.facts, self.options.state_dtype
                slots, counts = self.rule.slots, self.rule.counts_steps
                self.groups.append(Lanes(slots, counts, pointwise, self.name, kind))
                self.settings.append(Settings(tuple(self.rule.hyperparameters)))
            yield self.groups[index].at_step(group, state, offset)
            offset += sum(p.numel() for p in group["params"]) if self.offsets else 0

    def _summaries(self, pairs: Sequence[Pair], state: Any) -> dict[str, Any]:
        """The numbers that the rule wants of all parameters together."""
        params = [p for lane, _ in pairs for p in lane.params]
        columns: dict[str, list[Any]]
        columns = {"p": [p.detach() for p in params], "g": [p.grad for p in params]}
        for s in self.rule.slots:
            columns[s.argument] = [state[p].get(s.name) for p in params]
        hyper = pairs[0][0].at_its_age(pairs[0][1])
        if self.across:
            return self.across.summaries(self.rule, params, hyper, columns)
        known = {**hyper, **columns}
        return {name: over.of(known) for name, over in self.rule.summaries.items()}

    def _advance(self, lane: Lane, hyper: Reading) -> None:
        new: Mapping[int, Any]
        wide = self.precision.concerns(lane)
        form = "each" if wide else self._choose(lane)
        if form in ("each", "together"):
            bound = Bound(self.rule.formula, lane.scalars)
            formula = bound if lane.scalars else self.rule.formula
            run = together if form == "together" else each
            run(self.precision.of(formula) if wide else formula, lane, lane.at_its_age(hyper))
            new = bound.results
        elif form == "blocks" or self.form == "compiled":
            new = joined(self.recipes, lane, hyper, blocked if form == "blocks" else compiled)
        else:
            run = partial(compiled_if_possible, refused=self._stay_uncompiled)
            new = joined(self.recipes, lane, hyper, run)
        for index, value in new.items():
            lane.put(index, self.rule.slots[index].name, value)
        lane.gradients = []  # so that clearing p.grad frees its memory

    def _choose(self, lane: Lane) -> str:
        if self.form in ("each", "together"):
            return self.form
        on_cpu = lane.params[0].device.type == "cpu"
        if "pointwise" not in self.rule.facts:
            return "each"
        if lane.layout == "any":
            return "each" if on_cpu else "together"
        if self.form == "auto" and not on_cpu:
            return "together"
        if self.form == "auto" and lane.params[0].dtype not in CUTTABLE:
            return "each"
        if self.form == "blocks" or not lane.ready:
            return "blocks"
        return "compiled" if self.form == "compiled" or self._long_enough(lane) else "blocks"

    def _long_enough(self, lane: Lane) -> bool:
        self.elements_seen += lane.elements
        return self.may_compile and self.elements_seen >= COMPILE_PAYS

    def _stay_uncompiled(self, error: RuntimeError) -> None:
        self.may_compile = False
        warnings.warn(
            f"{self.name} could not be compiled and runs on uncompiled; form='blocks' asks for "
            f"that from the start. {str(error).splitlines()[0]}",
            stacklevel=2,
        )
