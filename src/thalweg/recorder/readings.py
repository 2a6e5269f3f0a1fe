"""What the script itself reads out of its model: its own accuracies and errors.

A value that was computed from the parameters with gradients off (or after the last update) is an
evaluation. Two moments of it are readings: predictions compared with labels (``==``: an accuracy,
``!=``: an error rate), and a scalar taken out of PyTorch (``item``, ``float``, formatting: an
error, a loss or a rate; what is subtracted from a number, as in ``1 - error / variance``, is better
the other way round: a score). A reading is named by the line of the script that made it, and the
readings of one pass over a data set (one line, no update in between) are summed up to one value.
What a script computes with scikit-learn instead is read by :mod:`.own_metrics`.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import torch

from thalweg.recorder import trails
from thalweg.recorder.leaves import is_leaf, needs_gradient
from thalweg.recorder.own_metrics import OwnMetrics
from thalweg.recorder.session import Call, Listener, Session
from thalweg.recorder.trails import Trail

EQUALITIES = frozenset({"eq", "__eq__"})
INEQUALITIES = frozenset({"ne", "__ne__"})
COMPARISONS = (
    EQUALITIES
    | INEQUALITIES
    | frozenset(
        "gt lt ge le __gt__ __lt__ __ge__ __le__ isclose allclose".split()  # noqa: SIM905
    )
)
SUBTRACTIONS = frozenset({"sub", "__sub__", "rsub", "__rsub__"})
DIFFERENCES = SUBTRACTIONS | frozenset("cdist dist pairwise_distance norm".split())  # noqa: SIM905
TURNS = frozenset({"rsub", "__rsub__", "neg", "__neg__", "negative"})
TURNED = {"error": "score", "loss": "score", "score": "error", "rate": "error rate",
          "error rate": "rate"}  # fmt: skip
READERS = frozenset({"item", "__float__", "__format__", "tolist", "numpy", "__array__"})
LOSSES = frozenset(
    "cross_entropy nll_loss binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss "  # noqa: SIM905
    "smooth_l1_loss huber_loss kl_div poisson_nll_loss gaussian_nll_loss hinge_embedding_loss "
    "multi_margin_loss multilabel_margin_loss soft_margin_loss multilabel_soft_margin_loss "
    "margin_ranking_loss triplet_margin_loss cosine_embedding_loss ctc_loss".split()
)

# With gradients on, these are the ways by which a value leaves the training graph.
LEAVING = COMPARISONS | READERS | {
    "detach", "data", "argmax", "argmin", "max", "topk", "round", "sign"
}  # fmt: skip
# Nodes of the autograd graph by which a scalar is known for what it is; how far they are sought.
LOSS_NODES = ("Loss", "CrossEntropy", "LogSoftmax", "LogSigmoid", "Softplus", "LogBackward")
ERROR_NODES = ("SubBackward", "RsubBackward", "CdistBackward")
NEAR = 24
INHERITED = ("loss", "rate", "error rate", "error", "score")
COMPARED = dict.fromkeys(EQUALITIES, "accuracy") | dict.fromkeys(INEQUALITIES, "error rate")
DISTRIBUTIONS = "torch.distributions"
PACKAGES = ("torch", "thalweg.recorder")
COUNTED = frozenset({"rate", "error rate", "weights"})
KNOWN_LOSSES = 8  # of several networks
KEEPING = frozenset("detach cpu to float double int long clone".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Origin:
    """How a value descends from the parameters.

    Attributes:
        training: Through a graph that is being differentiated.
        kind: ``value``, ``loss``, ``error``, ``rate``, ``error rate``, ``score``, or ``weights`` if
            no data came in.
        among: For a count of predictions, how many there were; else 0.
        spent: Whether it is a loss that has been differentiated, and nothing else besides: the
            training loss, wherever it is read.
        trail: The last calls by which it was made.
    """

    training: bool
    kind: str = "value"
    among: int = 0
    spent: bool = False
    trail: Trail = ()


@dataclass(slots=True)
class Reading:
    """One pass of one line over a data set; a line may make several at one step.

    Attributes:
        site: ``file.py:line`` of the script.
        kind: ``accuracy``, ``rate`` and ``score`` (higher is better), ``loss``, ``error`` and
            ``error rate`` (lower is better), ``value`` (nobody knows); of a library's metric its
            name, as in ``f1 score``.
        training: Whether it was made of a graph that training differentiates.
        step: How many updates had been made.
        total: The sum of what was read.
        count: For an accuracy the number of predictions, else the number of readings.
        doubtful: Of a library's metric, whether it may be of something else than the model.
    """

    site: str
    kind: str
    training: bool
    step: int
    total: float
    count: int
    doubtful: bool | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        value = self.total / self.count if self.count else math.nan
        return {
            "site": self.site,
            "kind": self.kind,
            "training": self.training,
            "step": self.step,
            "value": value if math.isfinite(value) else None,
            "count": self.count,
        } | ({} if self.doubtful is None else {"doubtful": self.doubtful})


class Readings(Listener):
    """Follows values from the parameters to where the script reads them.

    Memory: one entry a live tensor that descends from the parameters outside of training graphs,
    and at most ``limit`` readings.
    """

    def __init__(self, folder: str, limit: int = 5000) -> None:
        self.readings: list[Reading] = []
        self._ways: list[int] = []
        self._folder, self._limit = folder, limit
        self._origins: dict[int, tuple[weakref.ref[torch.Tensor], Origin]] = {}
        self._spent: weakref.ref[torch.Tensor] | None = None
        self._losses: deque[Trail] = deque(maxlen=KNOWN_LOSSES)
        self._metrics = OwnMetrics(lambda: self._session.step, self._computed)

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def finished(self) -> None:
        """Leave nothing behind in other libraries."""
        self._metrics.finished()

    def forget(self) -> None:
        """Drop what has been read so far."""
        self.readings, self._ways = [], []

    def before_backward(self, loss: torch.Tensor) -> None:
        """What is read of this loss from now on is no evaluation."""
        self._spent = weakref.ref(loss)
        trail = trails.of_graph(loss)
        if trail and trail not in self._losses:
            self._losses.append(trail)

    def called(self, call: Call, result: Any) -> None:
        """Pass the descent on, and note what is read."""
        leaving = call.name in LEAVING or not torch.is_grad_enabled()
        if call.name == "grad_of" or not (leaving or self._origins):
            return  # gradients are nobody's outputs, and there are many
        given = _tensors((*call.args, *call.kwargs.values()))
        found = [o for one in given if (o := self._origin(one)) is not None]
        if not found:
            return
        origin = _next(call, found, alone=len(found) == len(given))
        origin = replace(origin, trail=trails.behind(found[0].trail, call.name))
        if all(one.spent for one in found):
            origin = replace(origin, spent=True)
        known = self._metrics.wanted()
        if call.name in READERS:
            self._read(call, origin)
            if known and not origin.spent and origin.kind != "weights":
                self._metrics.left(given[0], self._place()[1], origin.training)
        elif call.name in COMPARED and isinstance(result, torch.Tensor) and not _checks_itself():
            self._note(COMPARED[call.name], origin, float(result.sum()), result.numel())
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, torch.Tensor) and not needs_gradient(one):
                self._follow(one, origin)

    def _follow(self, tensor: torch.Tensor, origin: Origin) -> None:
        key = id(tensor)
        self._origins[key] = (weakref.ref(tensor, lambda _: self._drop(key)), origin)

    def _drop(self, key: int) -> None:
        self._origins.pop(key, None)

    def _origin(self, tensor: torch.Tensor) -> Origin | None:
        """Where a value comes from; None if it has nothing to do with the parameters."""
        if is_leaf(tensor):
            return Origin(training=False, kind="weights")
        if needs_gradient(tensor):
            spent = self._spent is not None and self._spent() is tensor
            trail = trails.of_graph(tensor)
            return Origin(True, kind_in_graph(tensor), spent=spent, trail=trail)
        known = self._origins.get(id(tensor))
        return known[1] if known and known[0]() is tensor else None

    def _read(self, call: Call, origin: Origin) -> None:
        source = call.args[0]
        if isinstance(source, torch.Tensor) and source.numel() == 1 and not source.is_complex():
            kind = "loss" if self._is_loss(origin) else origin.kind
            self._note(kind, origin, float(source.detach()), origin.among or 1)

    def _is_loss(self, origin: Origin) -> bool:
        """Whether it ends in the calls that a training loss ends in, and counts nothing."""
        return origin.trail in self._losses and origin.kind not in COUNTED

    def _computed(self, kind: str, training: bool, doubtful: bool, value: float) -> None:
        self._note(kind, Origin(training, kind), value, 1, doubtful)

    def _note(
        self, kind: str, origin: Origin, total: float, count: int, doubtful: bool | None = None
    ) -> None:
        if origin.kind == "weights" or origin.spent or len(self.readings) >= self._limit_of(origin):
            return
        (site, way), step = self._place(), self._session.step
        for last, via in zip(reversed(self.readings), reversed(self._ways), strict=True):
            if last.step != step:
                break
            if (last.site, last.kind, via) == (site, kind, way):
                last.total, last.count = last.total + total, last.count + count
                last.doubtful = doubtful and last.doubtful
                return
        self.readings.append(Reading(site, kind, origin.training, step, total, count, doubtful))
        self._ways.append(way)

    def _limit_of(self, origin: Origin) -> int:
        """A loop that prints every loss must not crowd the evaluations out."""
        return self._limit // 2 if origin.training else self._limit

    def _place(self) -> tuple[str, int]:
        """The line of the script that reads, and the way by which the script came to it.

        A function that is called for the training set and then for the test set reads twice.
        """
        frame: Any = sys._getframe(2)
        site, way = "", []
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._folder) and "site-packages" not in name:
                site = site or f"{name.rpartition('/')[2]}:{frame.f_lineno}"
                way.append((name, frame.f_lasti))
            frame = frame.f_back
        return site or "?", hash(tuple(way))


def _checks_itself() -> bool:
    """Whether a distribution compares values to see whether they are in its support."""
    frame: Any = sys._getframe(2)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(PACKAGES):
        if str(frame.f_globals["__name__"]).startswith(DISTRIBUTIONS):
            return True
        frame = frame.f_back
    return False


def _tensors(part: Any) -> list[torch.Tensor]:
    """Every tensor among arguments and lists of arguments."""
    if isinstance(part, tuple | list):
        return [one for item in part for one in _tensors(item)]
    return [part] if isinstance(part, torch.Tensor) else []


def kind_in_graph(tensor: torch.Tensor) -> str:
    """What a value with a graph is, by the nearest telling node: a loss, an error, else a value."""
    waiting, seen = [tensor.grad_fn], 0
    while waiting and seen < NEAR:
        node, seen = waiting.pop(0), seen + 1
        if node is None:
            continue
        name = node.name()
        if any(part in name for part in LOSS_NODES):
            return "loss"
        if name.startswith(ERROR_NODES):
            return "error"
        waiting.extend(parent for parent, _ in node.next_functions)
    return "value"


def _next(call: Call, found: list[Origin], alone: bool) -> Origin:
    """What a call makes of what it is given; ``alone``: no tensor of another origin came in."""
    training = any(origin.training for origin in found)
    kinds = {origin.kind for origin in found}
    if alone and kinds == {"weights"}:
        return Origin(training, "weights")
    if call.name in LOSSES:
        return Origin(training, "loss")
    if call.name in INEQUALITIES:
        return Origin(training, "error rate")
    if call.name in COMPARISONS:
        return Origin(training, "rate")
    first = next((kind for kind in INHERITED if kind in kinds), "value")
    if call.name in TURNS and len(call.args) < 3 and not _two_tensors(call):
        return Origin(training, TURNED.get(first, first))
    if (
        call.name in DIFFERENCES
        and kinds <= {"value", "error", "weights"}
        and (call.name not in SUBTRACTIONS or _two_tensors(call))
    ):
        return Origin(training, "error")
    return Origin(training, first, _counted(call, found))


def _two_tensors(call: Call) -> bool:
    return len([one for one in call.args if isinstance(one, torch.Tensor)]) > 1


def _counted(call: Call, found: list[Origin]) -> int:
    """Among how many a sum of comparisons has counted."""
    source = call.args[0] if call.args else None
    rates = ("rate", "error rate")
    if call.name in ("sum", "count_nonzero") and isinstance(source, torch.Tensor):
        return source.numel() if found[0].kind in rates and source.numel() > 1 else 0
    return max(one.among for one in found) if call.name in KEEPING else 0
