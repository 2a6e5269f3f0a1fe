"""Methods in PyTorch's clothes: `torch.optim.Optimizer`s that ask a closure more than once a step.

A call of `step(closure)` takes up to `max_iter` steps of the method on the closure's loss. What the
method learned is kept from call to call; where it stands is read from the parameters, and the loss
there asked anew, since the closure's data may be another. What is learned within a call comes from
one loss: no pair of a quasi-Newton memory joins the gradients of two minibatches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from thalweg.minimize.counts import Counts
from thalweg.minimize.optimizers.closure_loss import ClosureLoss, LossOfTargets
from thalweg.minimize.optimizers.loading import leaves_of, load
from thalweg.minimize.optimizers.method import Method
from thalweg.minimize.optimizers.parameters import FlatParameters
from thalweg.minimize.optimizers.replay import Replay
from thalweg.minimize.optimizers.running import Report, Running, Search, chosen
from thalweg.minimize.optimizers.settings import check_groups, check_settings, evaluations
from thalweg.minimize.optimizers.stride import Ending
from thalweg.minimize.status import Status
from thalweg.operators.likelihood import OfOutput

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

UNMOVED = Ending("stalled", "no parameter requires a gradient")
KEPT = ("_model", "_loss", "_likelihood", "_certify", "_search", "_report", "_pending")


class MethodOptimizer(torch.optim.Optimizer):
    """An optimizer that follows a method; made by `method_class`, not by hand.

    Raises:
        ValueError: a setting out of its domain, groups whose settings differ, or a parameter of 16
            bits.
        TypeError: an argument that the method does not have.
    """

    method: ClassVar[Method]

    def __init__(
        self,
        params: Params | nn.Module,
        *args: Any,
        model: nn.Module | None = None,
        loss: LossOfTargets | None = None,
        likelihood: OfOutput | None = None,
        certify: bool | None = None,
        **options: Any,
    ) -> None:
        settings = self.given(args, options)
        settings["max_eval"] = evaluations(settings["max_iter"], settings["max_eval"])
        if isinstance(params, nn.Module):
            model, params = model or params, params.parameters()
        direction = self.method.direction(settings)
        likely = "fisher" in direction.needs  # of a distribution, which the loss's name tells
        if self.method.pairs and loss is None and (model is None or likely):
            raise TypeError(
                f"{self.call}(params): it needs the loss apart from the model. Give "
                f"{'' if likely else 'the model in place of params; or '}loss=..., from (output, "
                "targets) to a scalar, such as torch.nn.functional.cross_entropy; the closure then "
                "returns (model(inputs), targets)."
            )
        search = settings["line_search_fn"]
        self._search: Search | None = None
        if search is not None and not isinstance(search, str):
            self._search, settings["line_search_fn"] = search, repr(search)
        self._model, self._certify = model, certify
        self._loss, self._likelihood = loss, likelihood
        self._report = Report()
        self._pending: dict[str, Any] | None = None
        self._running: Running | None = None
        check_settings(self.call, settings)
        chosen(self._search or settings["line_search_fn"], direction)
        super().__init__(params, settings)

    @classmethod
    def given(cls, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, those by position and by name over the defaults."""
        standard = cls.method.settings
        if len(args) > len(standard):
            raise TypeError(
                f"{cls.__name__} takes params and up to {len(standard)} settings by position "
                f"({', '.join(standard)}); got {len(args)}."
            )
        placed = dict(zip(standard, args, strict=False))
        if twice := sorted(placed.keys() & options.keys()):
            raise TypeError(f"{cls.__name__}: {twice[0]} is given by position and by name.")
        if unknown := sorted(options.keys() - standard.keys()):
            raise TypeError(
                f"{cls.__name__}({unknown[0]}=...): no such argument; it takes "
                f"{', '.join(standard)}, model, loss, likelihood and certify."
            )
        return {**standard, **placed, **options}

    @property
    def call(self) -> str:
        """The class's name, for messages."""
        return type(self).__name__

    @property
    def takes_pairs(self) -> bool:
        """Whether it was given the loss, so that its closure may return (outputs, targets)."""
        return self._loss is not None

    @property
    def status(self) -> Status:
        """How the last step ended; see `minimize.status`."""
        return self._report.ending.status

    @property
    def why(self) -> str:
        """The same in a sentence."""
        return self._report.ending.why

    @property
    def loss_before(self) -> float | None:
        """The loss where the last step began, which it returned; None before the first step."""
        return self._report.before

    @property
    def loss_after(self) -> float | None:
        """The loss where the last step ended, on the same data; None before the first step."""
        return self._report.after

    @property
    def counts(self) -> Counts:
        """What all steps so far asked for, a copy."""
        if self._running is not None:
            return copy.copy(self._running.loop.counts)
        return Counts(**self._pending["loop"]["counts"]) if self._pending else Counts()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose settings must be those of the others.

        What was learned belonged to the parameters before, and is forgotten.
        """
        super().add_param_group(param_group)
        try:
            check_groups(self.call, self.param_groups)
            check_settings(self.call, self.param_groups[-1])
            self._flat()
        except ValueError:
            self.param_groups.pop()
            raise
        self._running = self._pending = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to `max_iter` steps of the method on the closure's loss.

        Afterwards the parameters are at the best point that the method accepted, and each `p.grad`
        is the gradient there. If the loss or its gradient is not finite where the step begins, or
        the closure raises an error, the parameters stay there.

        Args:
            closure: it computes the loss of the same data each time it is called. By PyTorch's
                convention it clears the gradients, calls `backward` and returns the loss; or it
                returns the loss without `backward`; or (output, targets), for `loss=`.

        Returns:
            The loss where the step began, as PyTorch's LBFGS does; that where it ended is
            `loss_after`.

        Raises:
            TypeError: no closure, or one that returns something else.
            ValueError: groups whose settings differ, or a gradient that is not the loss's.
        """
        if closure is None:
            raise TypeError(
                f"{self.call}.step(): it asks for the loss more than once. Give it a closure that "
                "computes the loss: optimizer.step(closure)."
            )
        check_groups(self.call, self.param_groups)
        flat = self._flat()
        if flat is None:
            self._report = Report(UNMOVED)
            with torch.enable_grad():
                return closure()
        running = self._ready(flat)
        start = flat.read()
        running.loss.begin(closure)
        with torch.no_grad():
            try:
                self._report = running.stride(self.param_groups[0], self._certify)
                running.settle(start)
            except BaseException:
                flat.settle(start)
                raise
            finally:
                running.loop.close()
                running.loss.end()
        return running.loss.returned

    def state_dict(self) -> dict[str, Any]:
        """A copy of the settings and of what was learned, which later steps do not change."""
        self._pack()
        try:
            return super().state_dict()
        finally:
            self.state.clear()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` made, to the same digits.

        Raises:
            ValueError: the state is another optimizer's, or of other parameters.
        """
        self._pending = load(self, super().load_state_dict, state_dict)
        self._running = None
        self.state.clear()

    def _flat(self) -> FlatParameters | None:
        """The parameters that require gradients, if they have any entries."""
        params = leaves_of(self)
        return FlatParameters(self.call, params) if sum(p.numel() for p in params) else None

    def _ready(self, flat: FlatParameters) -> Running:
        """The method on these parameters, with what it learned, unless they are others."""
        before = self._running
        if before is not None and same(before.loss.parameters, flat):
            return before
        settings = self.param_groups[0]
        loss = ClosureLoss(self.call, flat, Replay(self._model), self._loss, self._likelihood)
        search = self._search or settings["line_search_fn"]
        self._running = Running(loss, self.method, settings, search)
        if self._pending is not None:
            self._running.load_state_dict(self._pending)
            self._pending = None
        return self._running

    def _pack(self) -> None:
        """Put a copy of what was learned where PyTorch looks for it: with the first parameter."""
        running = self._running
        state = copy.deepcopy(self._pending) if running is None else running.state_dict()
        if state is not None:
            first = self.param_groups[0]["params"][0]
            self.state[first] = {"method": self.call, **state}

    def __getstate__(self) -> dict[str, Any]:
        self._pack()
        try:
            packed = dict(self.state)
            own = {name: getattr(self, name) for name in KEPT}
            own["_pending"] = next(iter(packed.values()), None)
            return {**super().__getstate__(), "state": {}, **own}
        finally:
            self.state.clear()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Called by unpickling and copying, with all of this, and by load_state_dict, with less.
        super().__setstate__(state)
        self.__dict__.setdefault("_running", None)


def same(one: FlatParameters, other: FlatParameters) -> bool:
    """Whether two are of the same tensors, with the same shapes and types, in the same order."""
    tensors = zip(one.leaves, other.leaves, strict=False)
    return one.layout == other.layout and all(a is b for a, b in tensors)
