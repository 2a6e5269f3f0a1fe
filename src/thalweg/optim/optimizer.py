"""Rules in PyTorch's clothes: `torch.optim.Optimizer`s made from a rule.

A class of these (see `classes.making`) has PyTorch's argument names, order and defaults, param
groups, hooks, schedulers, `GradScaler` and `state_dict`. Where PyTorch has the same optimizer,
state dicts pass both ways, and on a CPU a run continued in the other library is the run never
interrupted, bit for bit (`form="compiled"` excepted). For this the groups carry PyTorch's own
switches (`foreach`, `fused`, `capturable`) along; what decides here is `form`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.optim.engine import Engine
from thalweg.optim.forms.hooked import hooked
from thalweg.optim.forms.recorded import Recorded, refuse
from thalweg.optim.forms.standins import StandIns, may_be_needed
from thalweg.optim.hyperparameters import check, nearest
from thalweg.optim.options import Options
from thalweg.optim.options.loading import load
from thalweg.optim.options.nonfinite import Guard
from thalweg.optim.rule import Rule

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class RuleOptimizer(torch.optim.Optimizer):
    """An optimizer that follows a rule; made by `optimizer_class`, not by hand.

    Beside the hyperparameters and `form` it takes the options of `thalweg.optim.options.Options`.
    As PyTorch's, `state_dict()` refers to the live state, which the next step changes: copy it
    (`copy.deepcopy`) to keep it.

    Raises:
        ValueError: a hyperparameter outside its domain, an unknown form, or an option that does
            not fit.
        TypeError: an argument that the rule does not have.
    """

    rule: ClassVar[Rule]
    order: ClassVar[tuple[str, ...]]  # hyperparameters that may be given by position
    standard: ClassVar[Mapping[str, Any]]  # every group's keys with their defaults
    fixed: ClassVar[Mapping[str, Any]]  # keys that are what this class is
    profile_hook_step = staticmethod(hooked)  # with which PyTorch wraps `step`

    def __init__(self, params: Params, *args: Any, form: str = "auto", **options: Any) -> None:
        name = type(self).__name__
        chosen = Options.taken(options).checked(name, form)
        given = {**_by_position(name, self.order, args, options), **options}
        for key in given:
            if key not in self.standard or key in self.fixed:
                open_keys = [k for k in self.standard if k not in self.fixed]
                raise TypeError(f"{name}({key}=...): no such argument. {nearest(key, open_keys)}")
        if given.get("differentiable"):
            refuse(name, form, chosen)
        self._prepare(form, chosen)
        super().__init__(params, {**self.standard, **given})
        chosen.fit(name, self.param_groups)

    def _prepare(self, form: str, options: Options, skipped: int = 0) -> None:
        name = type(self).__name__
        self.options, self.guard = options, Guard(options.nonfinite, name, skipped)
        self.engine = Engine(self.rule, form, name, options)
        self.stepper: Engine | StandIns | Recorded | None = None

    @property
    def skipped_steps(self) -> int:
        """How many steps were left out because a gradient was not finite."""
        return self.guard.skipped

    @property
    def form(self) -> str:
        """How the rule is run; see `thalweg.optim.engine`."""
        return self.engine.form

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in PyTorch; its hyperparameters are checked as the constructor's are."""
        settings = self.defaults | param_group if isinstance(param_group, dict) else {}
        hyper = {k: settings[k] for k in self.rule.hyperparameters if k in settings}
        check(type(self).__name__, hyper, self.rule.terms)
        if self.rule.check and hyper:
            self.rule.check(hyper)
        super().add_param_group(param_group)
        self._admit(self.param_groups[-1])
        self.stepper = None

    def _admit(self, group: dict[str, Any]) -> None:
        """Take the group back if it has a parameter that the rule does not take."""
        if self.rule.admit is None:
            return
        try:
            for p in group["params"]:
                self.rule.admit(p, group)
        except ValueError:
            self.param_groups.pop()
            raise

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Advance every parameter that has a gradient; returns the closure's loss, if one is given.

        Raises:
            RuntimeError: a gradient is sparse; or not finite, under `nonfinite="raise"`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        recording = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # as torch.no_grad() does, in a fifth of its time
        try:
            if self.guard.admits(self.param_groups):
                stepper = self.stepper or self._choose_stepper()
                stepper.step(self.param_groups, self.state)
        finally:
            torch._C._set_grad_enabled(recording)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved here or by PyTorch; see `thalweg.optim.options.loading`.

        Raises:
            ValueError: groups, names or shapes that do not fit.
        """
        load(self, self.engine.rule, super().load_state_dict, state_dict)

    def _choose_stepper(self) -> Engine | StandIns | Recorded:
        needed = may_be_needed(self.engine.rule, self.param_groups)
        self.stepper = StandIns(self.engine) if needed else self.engine
        if self.defaults.get("differentiable"):
            self.stepper = Recorded(self.engine)
        return self.stepper

    def __getstate__(self) -> dict[str, Any]:
        own = {"form": self.form, "options": self.options, "skipped": self.skipped_steps}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Called by unpickling and copying, with a form, and by load_state_dict, without one.
        state = dict(state)
        own = [state.pop(key) for key in ("form", "options", "skipped") if key in state]
        super().__setstate__(state)
        if own:
            self._prepare(*own)
        for group in self.param_groups:
            for key, default in self.standard.items():
                group.setdefault(key, default)
            group.update(self.fixed)
        for own in self.state.values():
            if "step" in own and not isinstance(own["step"], Tensor):  # PyTorch before 1.12
                own["step"] = torch.tensor(float(own["step"]))


def _by_position(
    name: str, order: Sequence[str], args: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    if len(args) > len(order):
        raise TypeError(
            f"{name} takes params and up to {len(order)} arguments by position "
            f"({', '.join(order)}); got {len(args)}. Name the others."
        )
    placed = dict(zip(order, args, strict=False))
    twice = sorted(placed.keys() & options.keys())
    if twice:
        raise TypeError(f"{name}: {twice[0]} is given by position and by name. Give it once.")
    return placed
