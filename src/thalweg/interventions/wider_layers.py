"""Wider hidden layers: more units in the script's own network.

What it changes: at the call of a layer at one of ``positions`` (counted through the forward pass of
the recording) further rows are joined to its weight and bias; what the script does unit by unit
with the result (activation, dropout, pooling, flattening, batch and layer normalization) acts on
the wider tensor; at the layer that comes next further columns are joined. The further parameters
are drawn as PyTorch draws its own and given to the optimizer that trains the layer's. Linear and
convolution layers and products with a matrix can be widened; a script that does anything else with
the wider result (another shape, a residual sum, attention) ends with the reason.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch.nn import functional as F
from torch.optim.optimizer import Optimizer

from thalweg.interventions.dropouts import DROPOUTS
from thalweg.interventions.forward_pass import ForwardPass, tensors_of, trained_weight
from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.interventions.widening import Extra, Grown, GrownNorm, GrownVector, shape_of
from thalweg.recorder.anatomy import ACTIVATIONS, plain
from thalweg.recorder.leaves import is_leaf
from thalweg.recorder.session import Call, Session

SUMS = frozenset({"add", "__add__", "__radd__", "__iadd__"})
ELEMENTWISE = ACTIVATIONS | DROPOUTS | SUMS | frozenset(
    "mul __mul__ __rmul__ sub __sub__ rsub __rsub__ div __truediv__ neg __neg__ pow __pow__ abs "  # noqa: SIM905
    "square sqrt exp sin cos clamp contiguous clone detach to float double half bfloat16".split()
)  # fmt: skip
MOVING = frozenset(
    "flatten reshape view squeeze unsqueeze transpose permute movedim mean sum amax amin "  # noqa: SIM905
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d".split()
)
# What a fresh normalization holds.
AFFINE = {"weight": 1.0, "bias": 0.0}
NORMS: dict[Any, dict[str, float]] = {
    F.batch_norm: AFFINE | {"running_mean": 0.0, "running_var": 1.0},
    F.layer_norm: AFFINE,
}


@dataclass
class WiderLayers(Intervention):
    """Give the layers at ``positions`` of ``period`` ``factor`` times their units, or ``units``."""

    kind: ClassVar[str] = "wider-layers"
    positions: list[int] = field(default_factory=list)
    period: int = 2
    factor: int | None = None
    units: int | None = None

    def __post_init__(self) -> None:
        if (self.factor is None) == (self.units is None) or min(
            (self.factor or 2) - 1, self.units or 1
        ) < 1:
            raise InterventionError(
                f"wider-layers: factor={self.factor}, units={self.units}: give one of them, a "
                "factor of 2 or more or a number of units"
            )
        if not self.positions or not all(0 <= at < self.period - 1 for at in self.positions):
            raise InterventionError(
                f"wider-layers: positions={self.positions}: name hidden layers, from 0 to "
                f"{self.period - 2}"
            )
        self._pass = ForwardPass(self.period)
        self._random = torch.Generator().manual_seed(20_264)
        self._grown: dict[int, Grown] = {}
        self._norms: dict[int, GrownNorm] = {}
        self._biases: dict[int, GrownVector] = {}
        self._partners: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
        self._wide: dict[int, tuple[weakref.ref[torch.Tensor], Extra]] = {}
        self._gives: Extra | None = None

    def started(self, session: Session) -> None:
        """Remember whose optimizers train the layers."""
        self._session = session

    def rewrite(self, call: Call) -> None:
        """Compute a layer with more units, or what follows one."""
        self._pass.begin_at(call)
        self._gives = None
        weight = trained_weight(call)
        if weight is not None:
            self._layer(call, weight, self._pass.next())
        elif found := self._extras(call):
            self._follow(call, found)

    def called(self, call: Call, result: Any) -> None:
        """Remember which tensors have more units than the script knows of."""
        if self._gives is not None and isinstance(result, torch.Tensor):
            key = id(result)
            gone = lambda _: self._wide.pop(key, None)
            self._wide[key] = (weakref.ref(result, gone), self._gives)
        self._gives = None

    def before_backward(self, loss: torch.Tensor) -> None:
        """What the script clears of a layer's gradients is cleared of the further ones."""
        for own, further in self._partners:
            if own.grad is None or not own.grad.any():
                for one in further:
                    one.grad = None

    def before_step(self, optimizer: Optimizer | None) -> None:
        """Refuse a script that has no optimizer to train the further units."""
        if optimizer is None:
            raise InterventionError(
                "wider-layers: the script updates its parameters by hand, so that nothing would "
                "train the further units"
            )

    def _layer(self, call: Call, weight: torch.Tensor, at: int | None) -> None:
        """A layer that is widened, or that a wider one comes before."""
        found = self._extras(call)
        if id(weight) not in self._grown and not found and at not in self.positions:
            return
        shape = shape_of(call)
        given = self._extra(call.args[0])
        plainly = not found or (given is not None and len(found) == 1)
        reached = shape is not None and call.args[shape.weight] is weight
        if shape is None or not reached or not plainly or (given and shape.axis != given.axis):
            raise self._refusal(call, found)
        inputs = given.new if given else 0
        if id(weight) not in self._grown:
            units = self._more(weight.shape[shape.out]) if at in self.positions else 0
            made = Grown.drawn(call, shape, inputs, units, self._random)
            self._grown[id(weight)] = made
            self._train(weight, made.parameters)
        grown = self._grown[id(weight)]
        if grown.inputs != inputs:
            raise self._refusal(call, found)
        if grown.units:
            self._gives = Extra(weight.shape[shape.out], grown.units, shape.axis, at or 0)
        call.func = grown.computing(call.func)

    def _more(self, units: int) -> int:
        wanted = self.units if self.factor is None else self.factor * units
        return max(0, (wanted or 0) - units)

    def _train(self, own: torch.Tensor, further: list[torch.Tensor]) -> None:
        """Give parameters to the optimizer that trains ``own``."""
        groups = [group for one in self._session.optimizers for group in one.param_groups]
        group = next((g for g in groups if any(p is own for p in g["params"])), None)
        if group is None and further:
            raise InterventionError(
                "wider-layers: no optimizer has the weights of a layer that is to be widened, at "
                "the time when it is first called"
            )
        if group is not None:
            group["params"].extend(further)
            self._partners.append((own, further))

    def _follow(self, call: Call, found: list[Extra]) -> None:
        """A call on a wider tensor: it acts on each unit, moves units as a whole, or is refused."""
        name, extra = plain(call.name), found[0]
        if call.func in NORMS and len(found) == 1:
            self._normalize(call, extra)
        elif name in ELEMENTWISE and self._fits(call, found):
            self._gives = extra
        elif name in MOVING and len(found) == 1 and self._extra(call.args[0]):
            self._gives = moved(call, extra)
            if self._gives is None and call.func(*call.args, **call.kwargs).numel() != 1:
                raise self._refusal(call, found)
        else:
            raise self._refusal(call, found)

    def _fits(self, call: Call, found: list[Extra]) -> bool:
        """Whether the other operands are numbers, as wide, or a bias (which is then extended)."""
        others = [one for one in tensors_of(call.args) if self._extra(one) is None]
        if len({(one.old, one.new, one.axis) for one in found}) > 1:
            return False
        large = [one for one in others if one.numel() > 1]
        if not large:
            return True
        bias = large[0]
        is_bias = is_leaf(bias) and bias.shape == (found[0].old,) and found[0].axis == -1
        if len(large) > 1 or not is_bias or plain(call.name) not in SUMS:
            return False
        grown = self._biases.get(id(bias))
        if grown is None:
            grown = self._biases[id(bias)] = GrownVector.filled(bias, found[0].new, 0.0, True)
            self._train(bias, [grown.more])
        compute = call.func
        call.func = lambda *args, **kwargs: compute(
            *(grown.whole if one is bias else one for one in args), **kwargs
        )
        return True

    def _normalize(self, call: Call, extra: Extra) -> None:
        given = inspect.signature(call.func).bind(*call.args, **call.kwargs).arguments
        over = given.get("normalized_shape")
        if (-1 if over else 1 - call.args[0].dim()) != extra.axis or (over and len(over) > 1):
            raise self._refusal(call, [extra])
        own = next((v for k, v in given.items() if k in NORMS[call.func] and v is not None), None)
        if own is not None and id(own) not in self._norms:
            self._norms[id(own)] = GrownNorm.of(given, extra.new, NORMS[call.func])
            for vector in self._norms[id(own)].vectors.values():
                if vector.more.requires_grad:
                    self._train(vector.own, [vector.more])
        norm = self._norms[id(own)] if own is not None else GrownNorm(extra.new)
        more = {"normalized_shape": (extra.old + extra.new,)} if over else {}
        compute = call.func
        call.func = lambda *_, **__: norm.compute(compute, given | more)
        self._gives = extra

    def _extra(self, tensor: Any) -> Extra | None:
        found = self._wide.get(id(tensor))
        return found[1] if found and found[0]() is tensor else None

    def _extras(self, call: Call) -> list[Extra]:
        if not self._wide:
            return []
        given = (*tensors_of(call.args), *tensors_of(tuple(call.kwargs.values())))
        return [found for one in given if (found := self._extra(one)) is not None]

    def _refusal(self, call: Call, found: Iterable[Extra]) -> InterventionError:
        layers = sorted({one.layer + 1 for one in found})
        whose = f"what layer {layers[0]} gives goes into" if layers else "the layer is"
        return InterventionError(
            f"wider-layers: {whose} `{call.name}`, which cannot be given more units from outside"
        )

    def name(self) -> str:
        """A few words for a table."""
        how = f"{self.factor} times" if self.units is None else f"{self.units}"
        places = ", ".join(str(at + 1) for at in self.positions)
        return f"{how} the units in layer {places}" if self.factor else f"{how} units in {places}"

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        places = ", ".join(str(at + 1) for at in self.positions)
        wide = f"{self.factor} times as many" if self.units is None else f"{self.units}"
        return f"Give layer {places} (of {self.period} in a forward pass) {wide} units."

    def edit(self) -> str:
        """A line of code."""
        return f"width = {self.factor} * width" if self.units is None else f"width = {self.units}"


def moved(call: Call, extra: Extra) -> Extra | None:
    """Where the further units are after a call that moves or pools; None if they are not together.

    Marks are put through the same call. Sizes that the script states for its own number of units
    are restated for more.
    """
    data = call.args[0]
    if plain(call.name) in ("view", "reshape"):
        call.args = (data, *_restated(call.args[1:], data, extra))
    marks = torch.zeros(data.shape)
    marks.narrow(extra.axis, extra.old, extra.new).fill_(1)
    found = call.func(marks, *call.args[1:], **call.kwargs)
    return _together(found, extra) if isinstance(found, torch.Tensor) else None


def _together(marks: torch.Tensor, extra: Extra) -> Extra | None:
    """The axis along which the marked are the last, the same at every other place."""
    for axis in range(-1, -marks.dim() - 1, -1):
        rows = marks.movedim(axis, 0).flatten(1) > 0
        line = rows.any(1)
        new = int(line.sum())
        ordered = not line[: len(line) - new].any()
        if 0 < new < len(line) and ordered and bool((rows == line[:, None]).all()):
            return Extra(len(line) - new, new, axis, extra.layer)
    return None


def _restated(sizes: tuple[Any, ...], data: torch.Tensor, extra: Extra) -> tuple[Any, ...]:
    """The sizes of a view, for more units, where they were meant for the script's own."""
    listed = list(sizes[0]) if isinstance(sizes[0], tuple | list) else list(sizes)
    old = list(data.shape)
    old[extra.axis] = extra.old
    before, now = _shape(old, listed), _shape(list(data.shape), listed)
    if before is None or (now is not None and now[0] == before[0]):
        return sizes
    for at in range(len(listed) - 1, -1, -1):
        if listed[at] > 0 and listed[at] % extra.old == 0:
            listed[at] = listed[at] // extra.old * (extra.old + extra.new)
            break
    return tuple(listed)


def _shape(whole: list[int], sizes: list[int]) -> list[int] | None:
    """What a view of these sizes gives; None if they do not fit."""
    try:
        return list(torch.empty(whole, device="meta").reshape(sizes).shape)
    except RuntimeError:
        return None
