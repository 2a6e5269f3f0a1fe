"""Loss and output that fit: where outputs and targets allow only one reading, that one is computed.

What it changes, by ``reading``:

* ``logits``: a loss that applies softmax (or the sigmoid) itself is given what stood before the
  script's own softmax (sigmoid).
* ``log-probabilities``: a negative log-likelihood that is given raw outputs gets their log-softmax;
  one that is given probabilities gets their logarithm.
* ``rates``: a Poisson loss that takes its outputs for logarithms of rates takes them for rates.
* ``log-rates``: the other way round.
* ``same-shape``: outputs of shape (n, 1) and targets of shape (n,) are compared element by element
  instead of each with each.
* ``each-label``: where several labels may hold at once, each has a binary cross-entropy of its own
  instead of a share of one softmax. It is the cross-entropy of two classes, the label and its
  absence, whose logits are the label's output and zero.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import MOVES, plain
from thalweg.recorder.readings import DIFFERENCES
from thalweg.recorder.session import Call

READINGS = {
    "logits": "Give the loss the raw outputs: it applies softmax (or the sigmoid) itself.",
    "log-probabilities": "Give the likelihood loss log-probabilities, or use cross-entropy.",
    "rates": "The outputs are rates, as none is negative: tell the Poisson loss log_input=False.",
    "log-rates": "The outputs can be negative and are no rates: leave log_input=True.",
    "same-shape": "Give outputs and targets the same shape before comparing them.",
    "each-label": "Several labels hold at once: give each a binary cross-entropy of its own.",
}
EDITS = {
    "logits": "criterion(logits, target)  # no softmax before it",
    "log-probabilities": "F.cross_entropy(outputs, target)",
    "rates": "F.poisson_nll_loss(outputs, target, log_input=False)",
    "log-rates": "F.poisson_nll_loss(outputs, target)",
    "same-shape": "loss = F.mse_loss(outputs.squeeze(1), target)",
    "each-label": "F.binary_cross_entropy_with_logits(outputs, target)",
}
NAMES = {
    "logits": "loss on raw outputs",
    "log-probabilities": "loss on log-probabilities",
    "rates": "loss on rates",
    "log-rates": "loss on logarithms of rates",
    "same-shape": "outputs and targets of one shape",
    "each-label": "a loss for each label",
}
EXPECTS_LOGITS = {"cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}
TAKES_LOGARITHMS = {"rates": False, "log-rates": True}
ELEMENTWISE = DIFFERENCES | {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}


@dataclass
class LossWiring(Intervention):
    """Compute the loss as ``reading`` says."""

    kind: ClassVar[str] = "loss-wiring"
    changes_loss: ClassVar[bool] = True
    reading: str = "logits"

    def __post_init__(self) -> None:
        if self.reading not in READINGS:
            raise InterventionError(
                f"loss-wiring: reading={self.reading!r}: choose one of {', '.join(READINGS)}"
            )
        self._source: dict[int, tuple[weakref.ref[torch.Tensor], torch.Tensor]] = {}

    def rewrite(self, call: Call) -> None:
        """Answer the loss."""
        name = plain(call.name)
        if self.reading == "logits" and name in EXPECTS_LOGITS:
            self._change_first(call, self._before_squashing)
        elif self.reading == "log-probabilities" and name in ("nll_loss", "nll_loss_nd"):
            compute = call.func
            call.func = lambda outputs, *args, **kwargs: compute(
                _log_probabilities(outputs), *args, **kwargs
            )
        elif self.reading in TAKES_LOGARITHMS and name == "poisson_nll_loss":
            _tell(call, TAKES_LOGARITHMS[self.reading])
        elif self.reading == "same-shape" and name in ELEMENTWISE:
            _align(call)
        elif self.reading == "each-label" and name == "cross_entropy" and _is_of_labels(call):
            call.func = _each_label(call.func)

    def called(self, call: Call, result: Any) -> None:
        """Remember what stood before a softmax or sigmoid, moved as its result is moved."""
        if self.reading != "logits" or not isinstance(result, torch.Tensor):
            return
        name = plain(call.name)
        source = call.args[0] if call.args else call.kwargs.get("input")
        if name in EXPECTS_LOGITS.values() and isinstance(source, torch.Tensor):
            self._remember(result, source)
        elif name in MOVES and self._known(source) is not None:
            self._remember(result, call.func(self._known(source), *call.args[1:], **call.kwargs))

    def _remember(self, result: torch.Tensor, source: torch.Tensor) -> None:
        key = id(result)
        self._source[key] = (weakref.ref(result, lambda _: self._source.pop(key, None)), source)

    def _known(self, outputs: Any) -> torch.Tensor | None:
        found = self._source.get(id(outputs))
        return found[1] if found and found[0]() is outputs else None

    def _before_squashing(self, outputs: torch.Tensor) -> torch.Tensor:
        known = self._known(outputs)
        return outputs if known is None else known

    @staticmethod
    def _change_first(call: Call, change: Any) -> None:
        if call.args:
            call.args = (change(call.args[0]), *call.args[1:])
        elif "input" in call.kwargs:
            call.kwargs = call.kwargs | {"input": change(call.kwargs["input"])}

    def name(self) -> str:
        """A few words for a table."""
        return NAMES[self.reading]

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        return READINGS[self.reading]

    def edit(self) -> str:
        """A line of code."""
        return EDITS[self.reading]


def _tell(call: Call, log_input: bool) -> None:
    """Tell a Poisson loss whether it is given logarithms."""
    if len(call.args) > 2:
        call.args = (*call.args[:2], log_input, *call.args[3:])
    else:
        call.kwargs = call.kwargs | {"log_input": log_input}


def _log_probabilities(outputs: torch.Tensor) -> torch.Tensor:
    sums = outputs.detach().sum(1)
    are_probabilities = bool((outputs.detach() >= 0).all() and ((sums - 1).abs() < 1e-3).all())
    if are_probabilities:
        return outputs.clamp_min(torch.finfo(outputs.dtype).tiny).log()
    return F.log_softmax(outputs, 1)


def _is_of_labels(call: Call) -> bool:
    """Whether the targets are a number for each output, and the classes have no weights."""
    names = ("input", "target", "weight")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    outputs, target = given.get("input"), given.get("target")
    if not isinstance(outputs, torch.Tensor) or not isinstance(target, torch.Tensor):
        return False
    return given.get("weight") is None and outputs.dim() > 1 and outputs.shape == target.shape


def _each_label(cross_entropy: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def compute(
        input: torch.Tensor, target: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        outputs = torch.stack([input, torch.zeros_like(input)], 1)
        found = cross_entropy(outputs, torch.stack([target, 1 - target], 1), *args, **kwargs)
        return found.mean(1) if found.dim() else found  # not reduced: a row's loss, as it was

    return compute


def _align(call: Call) -> None:
    """Give the targets the outputs' shape, on whichever side they stand."""
    if len(call.args) < 2 or not all(isinstance(one, torch.Tensor) for one in call.args[:2]):
        return
    left, right = call.args[:2]
    if left.numel() != right.numel() or left.dim() == right.dim() or left.numel() < 2:
        return
    compute = call.func
    if left.requires_grad or not right.requires_grad:
        call.func = lambda a, b, *args, **kwargs: compute(a, b.reshape(a.shape), *args, **kwargs)
    else:
        call.func = lambda a, b, *args, **kwargs: compute(a.reshape(b.shape), b, *args, **kwargs)
