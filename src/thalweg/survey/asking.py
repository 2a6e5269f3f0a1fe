"""What is asked of one step while it can be replayed: every answer, each guarded by itself.

The parameters that vary are those that the step's optimizer moves; the others stay as they are. The
loss is the step's own: its minibatch, its dropout masks, its augmentation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from thalweg.curvature import critical_point, learning_rate, sharpness, spectrum
from thalweg.curvature.optimizers import InUse, NotRead, in_use, moved
from thalweg.curvature.own_method import decay_penalty
from thalweg.curvature.spectrum import FEWEST
from thalweg.operators import Hessian, ParameterOperator
from thalweg.operators.memory import free_bytes
from thalweg.recorder import Step
from thalweg.survey import plain
from thalweg.survey.counted import Counted

# Shares of the products that each answer may take.
CRITICAL, RATE, LARGEST, TRACE, SPECTRUM = 0.25, 0.15, 0.05, 0.15, 0.4
LEAST = round(FEWEST / SPECTRUM)
# Of free memory, what the vectors of the longest run may take; it holds a quarter of the products.
MEMORY = 0.25
FEW = 40  # products that are taken in any case

Data = dict[str, Any]


@final
@dataclass(frozen=True)
class Asking:
    """A probe that asks a step for its curvature.

    Attributes:
        products: of the Hessian, at the most.
        seed: of the random vectors.
        seconds: that a step may take, about.
    """

    products: int
    seed: int
    seconds: float = math.inf

    def __call__(self, step: Step) -> Data:
        """Everything that could be found, as plain data; `failed` says what could not be."""
        try:
            return {"curvature": surveyed(step, self)}
        except Exception as error:  # the program's own calls are played here, and may fail anyhow
            return {"curvature": {"failed": told(error)}}


def surveyed(step: Step, asking: Asking) -> Data:
    """The answers at one step."""
    began, seed = time.perf_counter(), asking.seed
    varied = [i for i, leaf in enumerate(step.leaves) if varies(step, leaf)]
    if not varied:
        return {"failed": "its optimizer moves none of the parameters that the loss depends on"}
    params = {str(i): step.before[i] for i in varied}
    size = sum(p.numel() for p in params.values())
    affordable, notes = afforded(asking.products, size, step.before[varied[0]].device)
    with Hessian(lambda given: loss_at(step, given), params) as inner:
        hessian = Counted(inner)
        affordable, more_notes = in_time(affordable, asking.seconds, hessian)
        notes += more_notes
        data: Data = {
            "parameters": size,
            "loss": hessian.loss,
            "gradient_norm": float(hessian.gradient.norm()),
            "critical_point": guarded(lambda: asked_point(hessian, affordable, seed)),
            "sharpness": guarded(lambda: asked_sharpness(hessian, affordable, seed)),
            "spectrum": guarded(lambda: asked_spectrum(hessian, affordable, seed)),
        }
        answers = [data["critical_point"], data["sharpness"], data["spectrum"]]
        rounding, remarks = coarse(step, inner.dtype)
        data |= plain.best_ends(answers, rounding)
        rate, more = asked_rate(step, varied, hessian, affordable, seed)
    return data | {
        "learning_rate": rate,
        "notes": [*notes, *remarks],
        "products": hessian.products + more,
        "seconds": time.perf_counter() - began,
    }


def varies(step: Step, leaf: Tensor) -> bool:
    """Whether the step moves this leaf."""
    if not leaf.is_floating_point():
        return False
    return step.optimizer is None or id(leaf) in moved(step.optimizer)


def loss_at(step: Step, given: Mapping[str, Tensor]) -> Tensor:
    """The step's loss at these values of the leaves that vary."""
    return step.loss([given.get(str(i), before) for i, before in enumerate(step.before)])


def afforded(products: int, size: int, device: torch.device) -> tuple[int, list[str]]:
    """As many products as free memory can hold the vectors of, and a note if those are fewer."""
    room = max(FEW, int(MEMORY * free_bytes(device) / (8 * size * CRITICAL)))
    if room >= products:
        return products, []
    return room, [f"memory has room for the vectors of {room} products, not {products}"]


def in_time(products: int, seconds: float, hessian: Counted) -> tuple[int, list[str]]:
    """As many products as the time allows, by one that is measured, and a note if those are fewer.

    What algorithms do beside a product is taken to last as long as the product.
    """
    if not math.isfinite(seconds):
        return products, []
    began = time.perf_counter()
    _ = hessian @ hessian.gradient
    room = max(FEW, int(seconds / (2 * (time.perf_counter() - began))))
    if room >= products:
        return products, []
    return room, [f"the time has room for about {room} products, not {products}"]


def casts(step: Step) -> list[torch.dtype]:
    """The precisions that autocast computed parts of the loss in, coarsest first."""
    found = {
        dtype
        for tape in step.tapes
        for note in tape.notes
        for _, enabled, dtype in note.autocast
        if enabled
    }
    return sorted(found, key=lambda dtype: -torch.finfo(dtype).eps)


def coarse(step: Step, params: torch.dtype) -> tuple[float, list[str]]:
    """A rounding that the products' own precision does not know of, and what there is to say."""
    found = casts(step)
    if found:
        kinds = ", ".join(name_of(dtype) for dtype in found)
        return torch.finfo(found[0]).eps, [
            f"computed under autocast in {kinds}: that rounding is in the errors of lambda_max and "
            "lambda_min, and in no other interval"
        ]
    if torch.finfo(params).bits < 32:
        return 0.0, [f"parameters in {name_of(params)}: few digits can be trusted"]
    return 0.0, []


def name_of(dtype: torch.dtype) -> str:
    """Without the package."""
    return str(dtype).removeprefix("torch.")


def asked_point(hessian: ParameterOperator, products: int, seed: int) -> Data:
    """What kind of point it is."""
    found = critical_point(hessian, max_products=round(CRITICAL * products), seed=seed)
    return plain.of_point(found)


def asked_sharpness(hessian: ParameterOperator, products: int, seed: int) -> Data:
    """How sharp it is."""
    found = sharpness(
        hessian,
        max_products=max(1, round(LARGEST * products)),
        trace_products=max(2, round(TRACE * products)),
        seed=seed,
    )
    return plain.of_sharpness(found)


def asked_spectrum(hessian: ParameterOperator, products: int, seed: int) -> Data:
    """The whole spectrum."""
    allowed = round(SPECTRUM * products)
    if hessian.size > allowed and allowed < FEWEST:
        return {"failed": f"the spectrum takes at least {LEAST} products in all, not {products}"}
    return plain.of_spectrum(spectrum(hessian, max_products=allowed, seed=seed))


def asked_rate(
    step: Step, varied: Sequence[int], hessian: Counted, products: int, seed: int
) -> tuple[Data, int]:
    """The rates of the optimizer's own method, or of gradient descent; the products beside."""
    allowed = max(1, round(RATE * products))
    try:
        own = read(step, varied)
    except NotRead as error:
        descent = InUse("gradient-descent", 0.0, math.nan, None, {})
        found = guarded(lambda: rate_of(descent, hessian, allowed, seed))
        return found | {"note": f"{error}: the rates are gradient descent's"}, 0
    decay = {name: d for name, d in own.decay.items() if d}
    if not decay:
        return guarded(lambda: rate_of(own, hessian, allowed, seed)), 0
    params = {str(i): step.before[i] for i in varied}
    with Hessian(lambda given: loss_at(step, given) + decay_penalty(given, decay), params) as inner:
        decayed = Counted(inner)
        return guarded(lambda: rate_of(own, decayed, allowed, seed)), decayed.products


def read(step: Step, varied: Sequence[int]) -> InUse:
    """The method that the step's optimizer is.

    Raises:
        NotRead: that cannot be said, and why.
    """
    if step.optimizer is None:
        raise NotRead("the script makes its updates by hand")
    return in_use(step.optimizer, {str(i): step.leaves[i] for i in varied})


def rate_of(own: InUse, hessian: ParameterOperator, products: int, seed: int) -> Data:
    """The learning rates of a method at the step."""
    found = learning_rate(
        hessian,
        method=own.method,
        momentum=own.momentum,
        diagonal=own.diagonal,
        max_products=products,
        seed=seed,
    )
    return plain.of_rate(found, own) | {"note": ""}


def guarded(ask: Callable[[], Data]) -> Data:
    """An answer, or why there is none."""
    try:
        return ask()
    except Exception as error:
        return {"failed": told(error)}


def told(error: Exception) -> str:
    """An error on one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
