"""Standardized inputs: zero mean and unit variance for every feature that enters the network.

What it changes: where data that depends on no parameter meets the first weights, it is shifted and
scaled by the moments of the training data, per feature (per channel of an image). The moments are
those of a recording and travel in the description, so that training and evaluation see the same
transform; without a description they are gathered as training goes on, over the first 5000 rows.
Constant features, which may stand in for a bias, are left alone. An entrance with a ``whitening``
matrix is decorrelated instead: multiplied by the inverse root of its second moments, so that every
direction has the same curvature (LeCun et al., Efficient BackProp, 1998, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.entrances import MOMENT_ROWS, Entrance, address, entrance_of, features_last
from thalweg.recorder.session import Call
from thalweg.training.normalization.moments import Moments, merged, moments
from thalweg.training.normalization.whitening import inverse_root


@dataclass
class InputStandardization(Intervention):
    """Standardize what enters.

    Attributes:
        entrances: For each entrance, in the order in which training meets them, ``mean`` and
            ``std`` (lists with one number a feature, or a single number), or ``whitening`` (a
            square matrix).
    """

    kind: ClassVar[str] = "input-standardization"
    entrances: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for at, entrance in enumerate(self.entrances):
            _check(at, entrance)
        self._order: dict[int, int] = {}
        self._keep: list[torch.Tensor] = []
        self._gathered: dict[int, Gathered] = {}

    def rewrite(self, call: Call) -> None:
        """Standardize the data of a layer at an entrance."""
        found = entrance_of(call, self._order)
        if found is None:
            return
        key = address(found.weight) or 0
        if key not in self._order and torch.is_grad_enabled():
            self._order[key] = len(self._order)
            self._keep.append(found.weight)
        at = self._order.get(key)
        if at is not None:
            scaled = self._scaled(found, at)
            call.args = tuple(scaled if one is found.data else one for one in call.args)

    def _scaled(self, found: Entrance, at: int) -> torch.Tensor:
        data, axis = found.data, found.axis
        if not self.entrances:
            gathered = self._gathered.setdefault(at, Gathered())
            if torch.is_grad_enabled():
                gathered.add(data, axis)
            return _standardized(data, gathered.mean, gathered.std, axis)
        if at >= len(self.entrances):
            return data
        if "whitening" in self.entrances[at]:
            return _whitened(data, self.entrances[at]["whitening"], axis)
        mean, std = (torch.as_tensor(self.entrances[at][key]) for key in ("mean", "std"))
        return _standardized(data, mean, std, axis)

    def name(self) -> str:
        """A few words for a table."""
        return "decorrelated inputs" if self._whitens else "standardized inputs"

    @property
    def _whitens(self) -> bool:
        return any("whitening" in one for one in self.entrances)

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if self._whitens:
            return "Decorrelate the inputs: use an orthonormal basis of what they span."
        return (
            "Standardize the inputs: subtract each feature's training mean, divide by its "
            "deviation."
        )

    def edit(self) -> str:
        """A line of code."""
        if self._whitens:
            return "x = x @ torch.linalg.inv(torch.linalg.cholesky(x_train.T @ x_train / n)).T"
        return "x = (x - x_train.mean(0)) / x_train.std(0)"


def _check(at: int, entrance: dict[str, Any]) -> None:
    """Raise an error that says what is wrong with the description of an entrance."""
    try:
        if "whitening" in entrance:
            rows, columns = np.asarray(entrance["whitening"], dtype=float).shape
            right = rows == columns
        else:
            mean, std = (np.asarray(entrance[key], dtype=float) for key in ("mean", "std"))
            right = mean.shape == std.shape and mean.ndim < 2 and bool((std > 0).all())
    except (KeyError, ValueError, TypeError):
        right = False
    if not right:
        raise InterventionError(
            f"input-standardization: entrance {at}: give mean and std, positive and of one length, "
            "or a square matrix as whitening"
        )


class Gathered:
    """Moments of what has entered so far."""

    def __init__(self) -> None:
        self._found: Moments | None = None
        self._last: tuple[torch.Tensor, int] | None = None

    def add(self, data: torch.Tensor, axis: int) -> None:
        """Count these rows in, until there are enough; the same batch again counts once."""
        again = self._last and self._last[0] is data and self._last[1] == data._version
        if (self._found is None or self._found.count < MOMENT_ROWS) and not again:
            new = moments(features_last(data, axis))
            self._found = new if self._found is None else merged(self._found, new)
            self._last = (data, data._version)

    @property
    def mean(self) -> torch.Tensor:
        """Of each feature."""
        return torch.zeros(1) if self._found is None else self._found.mean

    @property
    def std(self) -> torch.Tensor:
        """Of each feature; 1 where it is constant."""
        if self._found is None:
            return torch.ones(1)
        variance = self._found.variance
        return torch.where(variance > 1e-16, variance.sqrt(), 1.0)


def _standardized(
    data: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, axis: int
) -> torch.Tensor:
    """(data - mean) / std by feature, in the data's own type; other widths are left alone."""
    mean, std = (one.to(data.device, torch.float64) for one in (mean, std))
    axis = max(axis, -data.dim())
    if mean.dim() and mean.numel() not in (1, data.shape[axis]):
        return data
    if mean.dim():
        shape = (-1, *[1] * (-1 - axis))
        mean, std = mean.reshape(shape), std.reshape(shape)
    return ((data.to(torch.float64) - mean) / std).to(data.dtype)


def _whitened(data: torch.Tensor, whitening: list[list[float]], axis: int) -> torch.Tensor:
    matrix = torch.as_tensor(whitening, dtype=torch.float64, device=data.device)
    table = data.to(torch.float64).movedim(axis, -1)
    if matrix.shape[0] != table.shape[-1]:
        return data
    return (table @ matrix).movedim(-1, axis).to(data.dtype)


def of_moments(
    moments: dict[str, Any], largest: int = 4096, decorrelate: bool = False
) -> list[dict[str, Any]]:
    """What a recording's ``moments.npz`` says about the entrances, as plain data.

    A constant feature is left as it is. An entrance of more than ``largest`` features is described
    by one mean and deviation for all. With ``decorrelate``, entrances with known second moments
    (at most 256 features) are whitened instead, over the numerically non-null space.
    """
    count = sum(1 for key in moments if key.startswith("mean"))
    entrances: list[dict[str, Any]] = []
    for at in range(count):
        mean, std = moments[f"mean{at}"], moments[f"std{at}"]
        if decorrelate and f"second{at}" in moments:
            second = torch.from_numpy(moments[f"second{at}"])
            entrances.append({"whitening": inverse_root(second).tolist()})
        elif mean.size > largest:
            spread = ((std**2).mean() + mean.var()) ** 0.5
            entrances.append({"mean": float(mean.mean()), "std": float(spread) or 1.0})
        else:
            flat = std <= 1e-8 * max(float(abs(mean).max()), float(std.max()), 1e-30)
            scaled = {"mean": np.where(flat, 0.0, mean), "std": np.where(flat, 1.0, std)}
            entrances.append({key: value.tolist() for key, value in scaled.items()})
    return entrances
