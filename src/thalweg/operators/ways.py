r"""Ways of taking products with a Hessian. All give the same numbers, up to rounding.

    reverse    the gradient's graph is kept; a product is a backward pass through it: 2 gradients
    forward    a derivative along v of loss and gradient together, from anew: 3 gradients, and
               nothing is kept in between
    linearize  the operations of `reverse` that v flows through, recorded once, simplified and
               played again, everything else kept as constants: 2 gradients, in fewer and larger
               operations
    compiled   the same, compiled by `torch.compile`; compiling takes from several seconds to a
               minute
    auto       the fastest by measurement, among those that the products expected can pay for and
               that keep no more than the memory allowed; `forward` where nothing may be kept

Counted in the floating point operations of a gradient, where dense layers dominate. `reverse` needs
no preparation and has no preconditions, so it is the default.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, Protocol, final

import torch
from torch import Tensor

from thalweg.operators.differentiation import explained, twice_differentiable
from thalweg.operators.gradient import checked_loss, used_gradients
from thalweg.operators.linear_tape import RealZeros, recorded
from thalweg.operators.memory import graph_bytes
from thalweg.operators.model_loss import LossOfParameters
from thalweg.operators.snapshot import Snapshot

WayName = Literal["auto", "reverse", "forward", "linearize", "compiled"]
Tensors = dict[str, Tensor]
FORWARD_MODE: Any = torch.autograd.forward_ad  # its functions have no types
CUDA: Any = torch.cuda

SUMMING = 1e3  # units of rounding by which sums in another order may differ
TRIALS = 3  # products, the quickest of which counts
# Seconds that the products expected must take before a preparation is tried. It takes a second or
# two, or a minute, and saves up to a quarter, or a third, of each product.
RECORDING_PAYS = 5.0
COMPILING_PAYS = 300.0


class Way(Protocol):
    """A loss at its parameters, with its gradient and products with its Hessian.

    Attributes:
        loss: the loss.
        gradients: of the parameters that the loss uses.
        held: bytes kept for products, beside the parameters.
    """

    loss: float
    gradients: Tensors

    @property
    def held(self) -> int:
        """Bytes kept for products, beside the parameters."""

    def product(self, vector: Tensors) -> Tensors:
        """H v, for the vector's parts by name; parts that are zero may be missing."""


@final
class Reverse:
    """Backward through the kept graph of the gradient."""

    def __init__(self, loss: LossOfParameters, params: Snapshot) -> None:
        self._params = params.variables()
        with twice_differentiable():
            value = checked_loss(loss(dict(self._params)))
            kept = used_gradients(value, self._params, twice=True)
        self.loss = float(value.detach())
        self.gradients = {name: g.detach() for name, g in kept.items()}
        self._kept = {name: g for name, g in kept.items() if g.requires_grad}

    @property
    def held(self) -> int:
        """Bytes of the graph."""
        return graph_bytes(self._kept.values(), without=self._params.values())

    def product(self, vector: Tensors) -> Tensors:
        """See `Way`."""
        if not self._kept:
            return {}
        with twice_differentiable(), explained():
            rows = torch.autograd.grad(
                list(self._kept.values()),
                list(self._params.values()),
                [vector[name] for name in self._kept],
                retain_graph=True,
                materialize_grads=True,
            )
        return dict(zip(self._params, rows, strict=True))


@final
class Forward:
    """The derivative of the gradient along v, from anew every time."""

    def __init__(self, loss: LossOfParameters, params: Snapshot) -> None:
        self._function, self._params = loss, params
        self.loss, self.gradients = evaluated(loss, params)

    @property
    def held(self) -> int:
        """Nothing is kept."""
        return 0

    def product(self, vector: Tensors) -> Tensors:
        """See `Way`."""
        with RealZeros():
            return along(self._function, self._params, vector, self.loss)


@final
class Linearized:
    """A recording of `Reverse`'s product; `compiled` by torch.compile or played as it is."""

    def __init__(self, loss: LossOfParameters, params: Snapshot, *, compiled: bool = False) -> None:
        kept = Reverse(loss, params)
        self.loss, self.gradients = kept.loss, kept.gradients
        self._own = {place.data_ptr() for place in storages(params.values())}
        self._tape = recorded(kept.product, params)
        if compiled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's, of its own parts
                self._tape.program = torch.compile(self._tape.program, dynamic=False)
                self.product(dict(params))

    @property
    def held(self) -> int:
        """Bytes of what is kept as constants."""
        kept = {place.data_ptr(): place.nbytes() for place in storages(self._tape.constants)}
        return sum(size for place, size in kept.items() if place not in self._own)

    def product(self, vector: Tensors) -> Tensors:
        """See `Way`."""
        return self._tape(vector)


def evaluated(loss: LossOfParameters, params: Snapshot) -> tuple[float, Tensors]:
    """The loss and its gradient, by a graph that is not kept."""
    with twice_differentiable():
        variables = params.variables()
        value = checked_loss(loss(dict(variables)))
        return float(value.detach()), used_gradients(value, variables, twice=False)


@cache
def load_forward_mode() -> None:
    """Have PyTorch load the derivatives that it writes in TorchScript, about which it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with FORWARD_MODE.dual_level():
            FORWARD_MODE.make_dual(torch.zeros(1), torch.zeros(1))


def along(loss: LossOfParameters, params: Snapshot, vector: Tensors, known: float) -> Tensors:
    """The derivative of the loss's gradient along `vector`: H v, where it is not zero.

    Args:
        loss, params, vector: H and v.
        known: the loss there, which must come out again.

    Raises:
        NotImplementedError: it does not; or PyTorch has no derivative of an operation.
    """
    load_forward_mode()
    with twice_differentiable(), explained(), FORWARD_MODE.dual_level():
        variables = params.variables()
        duals = {name: FORWARD_MODE.make_dual(p, vector[name]) for name, p in variables.items()}
        value = loss(dict(duals))
        check_same(float(value.detach()), known, params)
        # Not torch.func.grad: under it dropout of a transposed tensor draws another mask.
        found = torch.autograd.grad(value, list(duals.values()), allow_unused=True)
        used = {name: g for name, g in zip(duals, found, strict=True) if g is not None}
        tangents = {name: FORWARD_MODE.unpack_dual(g).tangent for name, g in used.items()}
        return {name: t.detach() for name, t in tangents.items() if t is not None}


def check_same(value: float, known: float, params: Snapshot) -> None:
    """Refuse a loss that is another one where tangents flow: it has drawn other numbers."""
    rounding = max(torch.finfo(p.dtype).eps for p in params.values())
    if not abs(value - known) <= SUMMING * rounding * max(abs(value), abs(known)):
        raise NotImplementedError(
            f"Hessian: in forward mode the loss is {value:.9g}, elsewhere {known:.9g}; its random "
            "draws do not repeat there. Use way='reverse'."
        )


def storages(tensors: Any) -> list[Any]:
    """The memory of each tensor."""
    return [one.untyped_storage() for one in tensors]


WAYS: Mapping[str, Callable[[LossOfParameters, Snapshot], Way]] = {
    "reverse": Reverse,
    "forward": Forward,
    "linearize": Linearized,
    "compiled": lambda loss, params: Linearized(loss, params, compiled=True),
}


def chosen(
    way: WayName, loss: LossOfParameters, params: Snapshot, products: int, memory: float
) -> tuple[Way, dict[str, float]]:
    """A way by its name, and for "auto" the seconds that a product took by each that was tried.

    Args:
        way, loss, params: which, and of what.
        products: to be expected.
        memory: bytes that "auto" may keep.

    Raises:
        ValueError: no way has that name.
    """
    if way == "auto":
        return fastest(loss, params, products, memory)
    if way not in WAYS:
        raise ValueError(f"Hessian(way={way!r}): give one of 'auto', {', '.join(map(repr, WAYS))}.")
    return WAYS[way](loss, params), {}


def fastest(
    loss: LossOfParameters, params: Snapshot, products: int, memory: float
) -> tuple[Way, dict[str, float]]:
    """The way with the quickest product, of those that fit and that the products can pay for."""
    best: Way = Reverse(loss, params)
    if best.held > memory and (lean := without_memory(loss, params)):
        return lean
    seconds = {"reverse": seconds_of(best, params)}
    for name, pays in (("linearize", RECORDING_PAYS), ("compiled", COMPILING_PAYS)):
        if products * min(seconds.values()) < pays:
            break
        try:
            other = WAYS[name](loss, params)
        except NotImplementedError:
            break
        if other.held > memory:
            break
        seconds[name] = seconds_of(other, params)
        best = other if seconds[name] == min(seconds.values()) else best
    return best, seconds


def without_memory(loss: LossOfParameters, params: Snapshot) -> tuple[Way, dict[str, float]] | None:
    """The way that keeps nothing, where PyTorch has the derivatives for it."""
    way = Forward(loss, params)
    try:
        return way, {"forward": seconds_of(way, params)}
    except NotImplementedError:
        return None


def seconds_of(way: Way, params: Snapshot) -> float:
    """The time of a product: the shortest of a few, after one that does not count."""
    vector = {name: torch.ones_like(p) for name, p in params.items()}
    times = [timed(lambda: way.product(vector), params) for _ in range(1 + TRIALS)]
    return min(times[1:])


def timed(work: Callable[[], object], params: Snapshot) -> float:
    """Seconds until the work is done, on a GPU too."""
    wait = CUDA.synchronize if any(p.is_cuda for p in params.values()) else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start
