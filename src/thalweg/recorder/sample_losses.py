"""Where the outputs for a batch meet their targets, and where their losses become one number.

Two kinds of calls make one number of a batch: a loss function of PyTorch with its own reduction,
and a ``mean`` or ``sum`` over values that descend, row by row, from a difference of outputs and
targets, their product, or the outputs that targets pick. Each row of these is one sample, known by
its own content: the data that entered and its target (:mod:`.sample_keys`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from thalweg.recorder.anatomy import plain
from thalweg.recorder.entering import Entered, Piece, Rows, entering
from thalweg.recorder.leaves import needs_gradient
from thalweg.recorder.readings import SUBTRACTIONS
from thalweg.recorder.sample_keys import joined
from thalweg.recorder.session import Call

# Loss functions of outputs and targets in which each sample has a loss of its own.
OF_SAMPLES = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss "  # noqa: SIM905
    "smooth_l1_loss huber_loss kl_div poisson_nll_loss soft_margin_loss multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss hinge_embedding_loss".split()
)
MEETINGS = SUBTRACTIONS | frozenset("mul __mul__ __rmul__ gather __getitem__".split())  # noqa: SIM905
PICKING = frozenset({"gather", "__getitem__"})
REDUCTIONS = frozenset({"mean", "sum"})
# What keeps the rows of what it is given apart.
ROW_BY_ROW = (SUBTRACTIONS | REDUCTIONS) | set(
    "mul __mul__ __rmul__ add __add__ __radd__ div __truediv__ neg negative __neg__ pow __pow__ "  # noqa: SIM905
    "square abs absolute sqrt exp log log1p cosh clamp clamp_min clamp_max relu softplus where "
    "maximum minimum max squeeze unsqueeze view reshape flatten ravel float double to".split()
)


@dataclass(frozen=True)
class Ending:
    """A call that makes one number of the losses of a batch.

    Attributes:
        places: Where its arguments stand that have a row for each sample's loss.
        keys: Of the samples, shape (samples,).
        data: Of their data alone.
        rows: How the rows belong to the samples.
        summed: Whether it adds the rows' losses up instead of averaging them.
    """

    places: tuple[int | str, ...]
    keys: torch.Tensor
    data: torch.Tensor
    rows: Rows
    summed: bool


@dataclass(frozen=True)
class Followed:
    """A value with one row for each row of outputs; ``target`` is what these met."""

    value: weakref.ref[torch.Tensor]
    target: torch.Tensor


class SampleLosses:
    """Follows one forward pass after another from the data to the number that is differentiated.

    Whatever a program computes with never breaks it: tensors that have no rows or no bits to look
    at, in calls that cannot be read, are passed over.
    """

    def __init__(self) -> None:
        self.entered = Entered()
        self._followed: dict[int, Followed] = {}
        self._ended = False
        self._given: Call | None = None
        self._last: tuple[torch.Tensor, torch.Tensor, Rows] | None = None

    def clear(self) -> None:
        """The loss has been differentiated: what comes belongs to another one."""
        self.entered.clear()
        self._followed.clear()
        self._ended, self._last = False, None

    def look(self, call: Call) -> Ending | None:
        """Hear of a call before it is computed; what it ends, if it ends anything."""
        self._given = Call(call.func, call.name, call.args, call.kwargs)  # before it is changed
        try:
            self._enter(entering(call))
            return self._loss_function(call) or self._reduction(call)
        except Exception:  # tensors of any kind may stand there
            return None

    def _enter(self, piece: Piece | None) -> None:
        if piece is None:
            return
        if self._ended:  # another forward pass into the same loss
            self.entered.clear()
            self._ended, self._last = False, None
        self.entered.add(piece)

    def follow(self, result: Any) -> None:
        """Hear of the result of the call that was heard of last: whether its rows are samples'."""
        call = self._given
        if call is None or not isinstance(result, torch.Tensor):
            return
        if not result.dim() or not needs_gradient(result):
            return
        try:
            target = self._target(call, result)
        except Exception:
            return
        if target is not None:
            key = id(result)
            gone = weakref.ref(result, lambda _: self._followed.pop(key, None))
            self._followed[key] = Followed(gone, target)

    def _loss_function(self, call: Call) -> Ending | None:
        found = outputs_and_targets(call) if plain(call.name) in OF_SAMPLES else None
        if found is None or call.kwargs.get("reduction", "mean") == "none":
            return None
        if any(call.kwargs.get(one) is not None for one in ("size_average", "reduce")):
            return None
        places, outputs, target = found
        if len(outputs) != len(target):
            return None
        if _weighs_rows(call, target):
            places = (*places, "weight")
        return self._ending(places, target, len(outputs), call.kwargs.get("reduction") == "sum")

    def _reduction(self, call: Call) -> Ending | None:
        values = call.args[0] if call.args else call.kwargs.get("input")
        if plain(call.name) not in REDUCTIONS or not isinstance(values, torch.Tensor):
            return None
        known = self._known(values)
        if known is None or not _is_over_everything(call):
            return None
        place = 0 if call.args else "input"
        return self._ending((place,), known.target, len(values), plain(call.name) == "sum")

    def _ending(
        self, places: tuple[int | str, ...], target: torch.Tensor, count: int, summed: bool
    ) -> Ending | None:
        if self._last is None or self._last[2].samples * self._last[2].each != count:
            rows = self.entered.rows(count)
            if rows is None or len(target) != count:
                return None
            data = self.entered.samples(rows)
            self._last = (joined(data, self._of_targets(rows, target)), data, rows)
        self._ended = True
        return Ending(places, *self._last, summed)

    def _of_targets(self, rows: Rows, target: torch.Tensor) -> torch.Tensor:
        """A key for each sample's target; of a sequence, for all its targets together."""
        whole = target.detach().reshape(rows.samples, -1) if rows.each > 1 else target
        return self.entered.keys.of(whole)

    def _known(self, value: Any) -> Followed | None:
        found = self._followed.get(id(value))
        return found if found and found.value() is value else None

    def _met(self, call: Call, result: torch.Tensor) -> torch.Tensor | None:
        """The targets that outputs meet in this call, each of its result's rows one of them."""
        name = plain(call.name)
        if name in OF_SAMPLES and call.kwargs.get("reduction") == "none":
            found = outputs_and_targets(call)
            return found[2] if found and len(found[2]) == len(result) else None
        if name in PICKING:
            return _picked(call, result)
        pair = _pair(call) if name in MEETINGS else None
        if pair is None or needs_gradient(pair[0]) == needs_gradient(pair[1]):
            return None
        target = pair[1] if needs_gradient(pair[0]) else pair[0]
        alike = pair[0].shape == pair[1].shape == result.shape
        return target if alike and result.numel() > 1 else None

    def _target(self, call: Call, result: torch.Tensor) -> torch.Tensor | None:
        target = self._met(call, result)
        if target is None and plain(call.name) in ROW_BY_ROW and _keeps_rows(call):
            target = self._inherited(call, result)
        return target

    def _inherited(self, call: Call, result: torch.Tensor) -> torch.Tensor | None:
        """The target of the values that a call works on row by row; None if it joins rows."""
        given = [one for one in call.args if isinstance(one, torch.Tensor) and one.dim()]
        known = [one for one in given if self._known(one) is not None]
        others = [one for one in given if self._known(one) is None and needs_gradient(one)]
        if not known or any(one.is_leaf or one.shape != result.shape for one in others):
            return None
        several = len(given) > 1
        if any(len(one) != len(result) for one in known) or (
            several and any(one.dim() != result.dim() for one in known)
        ):
            return None
        found = self._known(known[0])
        return found.target if found and result.numel() <= known[0].numel() else None


def outputs_and_targets(
    call: Call,
) -> tuple[tuple[int | str, ...], torch.Tensor, torch.Tensor] | None:
    """Places and values of what a loss function compares; None if it does not know which is which.

    Outputs are the one of the two that gradients flow to.
    """
    names = ("input", "target")
    places = tuple(at if len(call.args) > at else names[at] for at in (0, 1))
    given = [call.args[at] if isinstance(at, int) else call.kwargs.get(at) for at in places]
    left, right = (one if isinstance(one, torch.Tensor) and one.dim() else None for one in given)
    if left is None or right is None or needs_gradient(left) == needs_gradient(right):
        return None
    return (places, left, right) if needs_gradient(left) else (places, right, left)


def _weighs_rows(call: Call, target: torch.Tensor) -> bool:
    """Whether a loss of single entries is given a weight for each of them."""
    weight = call.kwargs.get("weight")
    entries = plain(call.name).startswith("binary_cross_entropy")
    return entries and isinstance(weight, torch.Tensor) and weight.shape == target.shape


def _pair(call: Call) -> tuple[torch.Tensor, torch.Tensor] | None:
    given = [one for one in call.args[:2] if isinstance(one, torch.Tensor)]
    return (given[0], given[1]) if len(given) == 2 else None


def _picked(call: Call, result: torch.Tensor) -> torch.Tensor | None:
    """The targets by which one output of each row is picked: ``p[arange(n), y]``, ``gather``."""
    outputs = call.args[0] if call.args else None
    if not isinstance(outputs, torch.Tensor) or outputs.is_leaf or outputs.dim() != 2:
        return None
    index = call.args[1] if len(call.args) > 1 else call.kwargs.get("index")
    if plain(call.name) == "gather":
        index = call.args[2] if len(call.args) > 2 else call.kwargs.get("index")
        return index if isinstance(index, torch.Tensor) and len(index) == len(outputs) else None
    if not isinstance(index, tuple) or len(index) != 2 or len(result) != len(outputs):
        return None
    rows, target = index
    if not isinstance(target, torch.Tensor) or target.shape != result.shape:
        return None
    if isinstance(rows, torch.Tensor):
        rows = rows.tolist()
    in_order = isinstance(rows, list | range) and list(rows) == list(range(len(outputs)))
    return target if in_order else None


def _keeps_rows(call: Call) -> bool:
    """Whether a sum or mean is over other axes than the first; other calls keep rows by name."""
    return plain(call.name) not in REDUCTIONS or 0 not in _axes(call)


def _is_over_everything(call: Call) -> bool:
    """Whether a sum or mean is of all that it is given."""
    return len(_axes(call)) == _reduced(call).dim()


def _axes(call: Call) -> set[int]:
    """The axes that a sum or mean is over."""
    values = _reduced(call)
    axes = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim")
    if axes is None:
        return set(range(values.dim()))
    return {axis % values.dim() for axis in ((axes,) if isinstance(axes, int) else axes)}


def _reduced(call: Call) -> torch.Tensor:
    return call.args[0] if call.args else call.kwargs["input"]  # type: ignore[no-any-return]


Change = Callable[[torch.Tensor], torch.Tensor]


def with_rows(
    args: tuple[Any, ...], kwargs: dict[str, Any], places: tuple[int | str, ...], change: Change
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with some of the rows of those that have a row for each sample."""
    new = tuple(change(one) if at in places else one for at, one in enumerate(args))
    return new, {k: change(one) if k in places else one for k, one in kwargs.items()}
