"""The numbers of one step: parameters, layers, activations, outputs and targets, as plain data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from thalweg.recorder.anatomy import (
    SATURATING,
    Activation,
    Ending,
    Layer,
    activations,
    ending,
    layers,
    plain,
)
from thalweg.recorder.chains import chains
from thalweg.recorder.tape import Tape

Values = list[torch.Tensor]
ELEMENTWISE = frozenset({"difference", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})

ROUNDING = 1e-5  # of the largest entry, by which sums in another order differ


def number(value: float | torch.Tensor) -> float | None:
    """A finite float, or None: recordings are strict JSON."""
    value = float(value)
    return value if math.isfinite(value) else None


def rms(tensor: torch.Tensor) -> float | None:
    """Root mean square."""
    if not tensor.numel():
        return None
    return number(tensor.detach().abs().to(torch.float64).square().mean().sqrt())


def units_last(tensor: torch.Tensor) -> torch.Tensor | None:
    """The tensor as (observations, units); channels are the units of images, features of others."""
    if tensor.dim() < 2 or not tensor.numel():
        return None
    if tensor.dim() in (4, 5):
        tensor = tensor.movedim(1, -1)
    return tensor.detach().reshape(-1, tensor.shape[-1]).to(torch.float64)


def parameter(
    name: str, before: torch.Tensor, gradient: torch.Tensor | None, after: torch.Tensor
) -> dict[str, Any]:
    """Norms of a parameter, its gradient and its update (Euclidean, in the parameter's units)."""
    data: dict[str, Any] = {
        "name": name,
        "shape": list(before.shape),
        "dtype": str(before.dtype).removeprefix("torch."),
        "norm": number(before.norm()),
        "gradient": None if gradient is None else number(_entries(gradient).norm()),
        "update": number((after - before).abs().to(torch.float64).norm()),
    }
    if gradient is not None and gradient.numel():
        nonzero = int(_entries(gradient).count_nonzero())
        data["zeros"] = 1.0 - nonzero / gradient.numel()
        data["unchanged"] = number((after == before).double().mean())
        data["alike"] = rows_are_alike(before, gradient)
    return data


def _entries(gradient: torch.Tensor) -> torch.Tensor:
    """The gradient, or of a sparse one the entries that are there."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def twins(weight: torch.Tensor, units: int) -> float:
    """Share of units (along dimension ``units``) whose weights equal another unit's."""
    rows = weight.detach().movedim(units, 0).flatten(1)
    if len(rows) < 2 or len(rows) > 8192:
        return 0.0
    _, counts = torch.unique(rows, dim=0, return_counts=True)
    return float(counts[counts > 1].sum()) / len(rows)


def rows_are_alike(values: torch.Tensor, gradient: torch.Tensor | None) -> bool:
    """Whether the rows (the first axis) of a parameter are one row repeated, and will stay so.

    Their values are the same, and so are their gradients, to rounding, and are not zero.
    """
    if gradient is None or gradient.is_sparse or values.dim() < 2 or len(values) < 2:
        return False
    if not values.numel() or not bool((values == values[:1]).all()):
        return False
    size = float(gradient.abs().max())
    return size > 0 and float((gradient - gradient[:1]).abs().max()) <= ROUNDING * size


def gain(weight: torch.Tensor, units: int) -> float | None:
    """Scale of a weight, rms x sqrt(fan in): 1.41 for He's, 1 for LeCun's, 0.58 for torch's own."""
    fan_in = weight.numel() / weight.shape[units]
    spread = rms(weight)
    return None if spread is None else spread * math.sqrt(fan_in)


def layer(one: Layer, leaves: Values, values: Values, names: list[str]) -> dict[str, Any]:
    """Scale of a layer's weights (``leaves``, before the update) and of what it gives."""
    matrices = [leaves[at] for at in one.weights if leaves[at].dim() >= 2]
    kind = one.kind
    units = 1 if "mm" in kind or "matmul" in kind or kind in ("mv", "einsum") else 0
    data: dict[str, Any] = {
        "kind": kind,
        "weights": [names[at] for at in one.weights],
        "output": rms(values[one.output]),
        "entrance": one.entrance is not None,
    }
    if matrices and kind != "embedding" and min(matrices[0].shape) > 0:
        data |= {
            "twins": twins(matrices[0], units),
            "gain": gain(matrices[0], units),
            "units": matrices[0].shape[units],
            "inputs": matrices[0].numel() // matrices[0].shape[units],
        }
    return data


def activation(one: Activation, values: Values) -> dict[str, Any]:
    """Share of dead units (constant over the batch) and of saturated values, and what varies.

    ``varies`` is the root mean square about the units' means over the one about zero.
    """
    data: dict[str, Any] = {"kind": one.kind, "hidden": one.hidden}
    table = units_last(values[one.slot])
    if table is None or len(table) < 2:
        return data
    scale = float(table.abs().max())
    spread = (table.amax(0) - table.amin(0)).abs()
    data |= {
        "units": table.shape[1],
        "rms": rms(table),
        "dead": number((spread <= 1e-7 * max(scale, 1e-30)).double().mean()),
        "varies": number((table - table.mean(0)).norm() / table.norm().clamp_min(1e-30)),
    }
    if one.kind in SATURATING:
        low, high = SATURATING[one.kind]
        edge = 0.02 * (high - low)
        stuck = (table < low + edge) | (table > high - edge)
        data["saturated"] = number(stuck.double().mean())
    return data


def summary(tensor: torch.Tensor) -> dict[str, Any]:
    """Shape, type and range of a batch of outputs or targets."""
    data: dict[str, Any] = {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
    }
    if tensor.numel() and not tensor.is_complex():
        flat = tensor.detach().to(torch.float64).flatten()
        data |= {
            "min": number(flat.min()),
            "max": number(flat.max()),
            "mean": number(flat.mean()),
            "std": number(flat.std(correction=0)),
        }
        data["integral"] = bool((flat == flat.round()).all())
    return data


def meeting(one: Ending, values: Values) -> dict[str, Any]:
    """How outputs and targets fit: ranges, shapes, and whether the outputs are probabilities."""
    outputs = values[one.outputs]
    data: dict[str, Any] = {
        "kind": one.kind,
        "made_by": one.made_by,
        "log_input": one.log_input,
        "outputs": summary(outputs),
        "targets": None if one.targets is None else summary(one.targets),
    }
    if outputs.dim() >= 2 and outputs.numel():
        classes = outputs.detach().to(torch.float64)
        sums, logs = classes.sum(1), classes.logsumexp(1)
        data["outputs"]["rows_sum_to_one"] = bool(((sums - 1).abs() < 1e-3).all())
        data["outputs"]["rows_are_log_probabilities"] = bool((logs.abs() < 1e-2).all())
    if one.targets is not None and one.kind == "cross_entropy":
        data["targets"] |= together(outputs, one.targets)
    if one.targets is not None and one.kind in ELEMENTWISE:
        shapes = tuple(outputs.shape), tuple(one.targets.shape)
        data["broadcast"] = _grows(*shapes)
        if shapes[0] == shapes[1]:
            data["targets"] |= columns(one.targets)
    return data


def together(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, Any]:
    """The largest sum over classes of targets that are a share of each class; else nothing."""
    if targets.shape != outputs.shape or targets.dim() < 2 or not targets.is_floating_point():
        return {}
    shares = targets.detach().to(torch.float64)
    if not shares.numel() or not bool(((shares >= 0) & (shares <= 1)).all()):
        return {}
    return {"largest_row_sum": float(shares.sum(1).max())}


def columns(targets: torch.Tensor, most: int = 32) -> dict[str, Any]:
    """Mean and deviation of each column of a table of 2 to ``most`` columns; else nothing."""
    table_like = targets.dim() == 2 and len(targets) and not targets.is_complex()
    if not table_like or not 2 <= targets.shape[1] <= most:
        return {}
    table = targets.detach().to(torch.float64)
    each = {"means": table.mean(0).tolist(), "stds": table.std(0, correction=0).tolist()}
    finite = all(math.isfinite(one) for values in each.values() for one in values)
    return {"columns": each} if finite else {}


def _grows(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast to something larger than both: (n, 1) against (n,)."""
    try:
        joint = math.prod(np.broadcast_shapes(left, right))
    except ValueError:
        return False
    return joint > max(math.prod(left), math.prod(right))


def reconstruction(entrances: list[torch.Tensor], end: Ending | None) -> float | None:
    """How the targets correlate with what enters, number by number; None where sizes differ."""
    if end is None or end.targets is None:
        return None
    same = [one for one in entrances if one.numel() == end.targets.numel() > 2]
    if not same:
        return None
    pair = torch.stack([same[0].detach().flatten(), end.targets.detach().flatten()]).double()
    return number(torch.corrcoef(pair)[0, 1])


def anatomy(tape: Tape, leaves: Values, values: Values, names: list[str]) -> dict[str, Any]:
    """Everything that the tape of one step shows, as plain data; ``leaves`` as it found them."""
    end, found, nonlinear = ending(tape), layers(tape), activations(tape)
    before, doubled = chains(tape, found, nonlinear)
    rows = [layer(one, leaves, values, names) for one in found]
    acts = [activation(one, values) for one in nonlinear]
    entering = [one.entrance for one in found if one.entrance is not None]
    return {
        "layers": [row | {"follows": at} for row, at in zip(rows, before, strict=True)],
        "activations": [row | {"follows": at} for row, at in zip(acts, doubled, strict=True)],
        "reconstruction": reconstruction(entering, end),
        "operations": sorted({plain(note.name) for note in tape.notes}),
        "ending": None if end is None else meeting(end, values),
    }
