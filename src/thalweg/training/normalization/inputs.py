r"""Inputs of zero mean and unit variance, or decorrelated: fitted on the training set, then fixed.

Why: the Hessian of a linear unit under half the mean squared error is the second moment of its
inputs, H = 1/p sum_p x_p x_p^T. A mean that is not zero adds an eigenvalue of about |mean|^2, a
feature on a larger scale one of the square of that scale, and correlation spreads what is left.
`standardize` mends the first two, whitening all three: H becomes the identity, and gradient descent
converges along every direction at one rate.

Y. LeCun's slides on a single linear unit ("the Hessian is the covariance matrix of the inputs");
Y. LeCun, L. Bottou, G. B. Orr & K.-R. Müller, *Efficient BackProp* (1998), section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self, cast, final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from thalweg.training.normalization.moments import Moments, gathered, moments
from thalweg.training.normalization.whitening import FLOOR, Whitening, pca, zca

KINDS: Final = ("standardize", "pca", "zca")
BUFFERS: Final = ("mean", "into", "back")
# A constant's deviation, computed in float64, is a few roundings of it.
ROUNDING: Final = 64 * torch.finfo(torch.float64).eps


@final
class InputNormalization(nn.Module):
    """A fixed layer that standardizes or whitens what enters a network.

        inputs = InputNormalization("standardize").fit(train)   # a tensor or a DataLoader
        model = nn.Sequential(inputs, nn.Linear(20, 64), ...)   # for training and evaluation

    The map is fitted once, over the training set, in one pass, in float64. It is kept in buffers,
    so that it moves with the model and stands in its `state_dict`, from where a new layer of the
    same kind takes it without being fitted. It has no parameters, and train() and eval() do not
    change it.

    The variances are over n, so that those of the training set are 1. A feature that is constant in
    the training set becomes 0; `inverse` gives it back.

    Args:
        kind: "standardize" (zero mean and unit variance for each feature), "zca" or "pca"
            (decorrelated as well; see `thalweg.training.normalization.whitening`).
        axis: where the features stand: 1 for (N, d) and for the channels of (N, C, H, W), as in
            torch's normalization layers; -1 for sequences (N, T, d).
        components: how many directions "pca" keeps; all d if None.

    Raises:
        ValueError: There is no such kind; or `components` is none, or not for "pca".
    """

    mean: Tensor
    into: Tensor
    back: Tensor

    def __init__(
        self, kind: str = "standardize", *, axis: int = 1, components: int | None = None
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"InputNormalization({kind!r}): choose one of {', '.join(KINDS)}.")
        if components is not None and (kind != "pca" or components < 1):
            raise ValueError(
                f"InputNormalization({kind!r}, components={components}): components is how many "
                "directions 'pca' keeps, at least 1; leave it out otherwise."
            )
        self.kind, self.axis, self.components = kind, axis, components
        for name in BUFFERS:
            self.register_buffer(name, torch.empty(0))
        self.register_load_state_dict_pre_hook(sized)  # type: ignore[no-untyped-call]

    @property
    def fitted(self) -> bool:
        """Whether there is a map yet."""
        return self.mean.numel() > 0

    def fit(self, train: Tensor | Iterable[Any]) -> Self:
        """Take the map from the training set, in one pass.

        Args:
            train: the inputs as one tensor; a pair (inputs, targets), as `thalweg.training.fit`
                takes it; or batches (a `DataLoader`): tensors, or tuples and lists that begin
                with the inputs.

        Raises:
            TypeError: `train` holds no batches of inputs.
            ValueError: There are too few samples for this kind, or values that are not finite, or
                scales too far apart to be whitened; or the layer is fitted already.
        """
        if self.fitted:
            raise ValueError(
                "InputNormalization.fit: it is fitted already, and what was trained behind it "
                "relies on that; make a new one."
            )
        dtypes: set[torch.dtype] = set()
        together = self.kind != "standardize"
        tables = self.tables(batches(train), dtypes)
        found = gathered(moments(table, together) for table in tables)
        self.check(found)
        self.keep(without_constants(cast(Moments, found), dtypes), buffer_type(dtypes))
        return self

    def tables(self, parts: Iterable[Tensor], dtypes: set[torch.dtype]) -> Iterator[Tensor]:
        """Each batch as (observations, features) in float64; empty ones are passed over."""
        for at, part in enumerate(parts):
            if part.dim() < 2 or part.is_complex():
                raise ValueError(
                    f"InputNormalization.fit: batch {at} is {described(part)}; give real numbers "
                    "of shape (samples, features, ...)."
                )
            dtypes.add(part.dtype)
            table = part.detach().movedim(self.axis, -1).to(torch.float64)
            table = table.reshape(-1, part.shape[self.axis])
            if not bool(table.isfinite().all()):
                wrong = int((~table.isfinite()).any(0).nonzero()[0])
                raise ValueError(
                    f"InputNormalization.fit: feature {wrong} of batch {at} is not finite; leave "
                    "such samples out or fill the gaps first."
                )
            if len(table):
                yield table

    def check(self, found: Moments | None) -> None:
        """Raise unless there are enough observations, on scales that can be told from none."""
        count = found.count if found else 0
        d = self.components or (len(found.mean) if found and self.kind != "standardize" else 1)
        if count <= d or found is None:
            raise ValueError(
                f"InputNormalization({self.kind!r}).fit: {count} observations are too few: their "
                f"covariance has at most rank {max(count - 1, 0)}, and {d} is needed. Give more "
                "training data" + (", or keep fewer components." if d > 1 else ".")
            )
        if self.components and self.components > len(found.mean):
            raise ValueError(
                f"InputNormalization('pca', components={self.components}).fit: there are only "
                f"{len(found.mean)} features; keep at most that many components."
            )

    def keep(self, found: Moments, dtype: torch.dtype) -> None:
        """Put the map into the buffers."""
        held = (found.mean, *self.maps(found))
        for name, value in zip(BUFFERS, held, strict=True):
            setattr(self, name, value.to(self.mean.device, dtype))

    def maps(self, found: Moments) -> Whitening:
        """The map and its inverse: deviations, (d,), or matrices, (d, k) and (k, d)."""
        variance, covariance = found.variance, found.covariance
        if self.kind == "standardize":
            deviation = torch.where(variance > 0, variance.sqrt(), 1.0)
            return Whitening(1 / deviation, deviation)
        small = (variance > 0) & (variance <= FLOOR * variance.max())
        if bool(small.any()):
            raise ValueError(
                f"InputNormalization({self.kind!r}).fit: feature {int(small.nonzero()[0])} varies "
                "a million times less than another and would be lost; standardize first."
            )
        return zca(covariance) if self.kind == "zca" else pca(covariance, self.components)

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) `into`, in the type of `x`; integers become the buffers' type.

        Raises:
            RuntimeError: The layer is not fitted.
            ValueError: `x` has another number of features than the training set.
        """
        self.ready(x, len(self.mean), "forward")
        return self.rowwise(x, lambda row: times(row - self.mean, self.into))

    def inverse(self, z: Tensor) -> Tensor:
        """mean + z `back`: the inputs, up to directions that did not vary or were left out.

        Raises:
            RuntimeError: The layer is not fitted.
            ValueError: `z` has another number of features than `forward` gives.
        """
        self.ready(z, self.into.shape[-1], "inverse")
        return self.rowwise(z, lambda row: self.mean + times(row, self.back))

    def rowwise(self, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply to the features, wherever they stand, in the wider of both types."""
        wide = torch.promote_types(x.dtype, self.mean.dtype)
        result = compute(x.to(wide).movedim(self.axis, -1)).movedim(-1, self.axis)
        return result.to(x.dtype) if x.is_floating_point() else result

    def ready(self, x: Tensor, features: int, name: str) -> None:
        """Raise unless there is a map, and for so many features."""
        if not self.fitted:
            raise RuntimeError(
                f"InputNormalization.{name}: it is not fitted; call fit(train) with the training "
                "set, or load a state_dict."
            )
        if x.dim() < 2 or x.shape[self.axis] != features:
            raise ValueError(
                f"InputNormalization.{name}: {features} features at axis {self.axis} are needed; "
                f"got {described(x)}."
            )

    def extra_repr(self) -> str:
        """What `print` shows."""
        state = f"features={len(self.mean)}" if self.fitted else "not fitted"
        return f"{self.kind!r}, axis={self.axis}, {state}"


def batches(train: Tensor | Iterable[Any]) -> Iterator[Tensor]:
    """The inputs of each batch."""
    if isinstance(train, Dataset) or not isinstance(train, Iterable):
        raise TypeError(
            f"InputNormalization.fit({type(train).__name__}): give the inputs as one tensor, or a "
            "DataLoader over the training set."
        )
    if isinstance(train, Tensor):
        train = [train]
    elif isinstance(train, tuple) and len(train) == 2:
        train = [train]  # one batch with its targets, as everywhere else
    for batch in train:
        inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(inputs, Tensor):
            raise TypeError(
                f"InputNormalization.fit: a batch begins with {type(inputs).__name__}; give "
                "batches that are the inputs, or tuples that begin with them, as tensors."
            )
        yield inputs


def without_constants(found: Moments, dtypes: set[torch.dtype]) -> Moments:
    """The same, where features that vary by no more than the rounding of their type do not vary."""
    own = [torch.finfo(one).eps for one in dtypes if one.is_floating_point]
    varies = found.variance.sqrt() > max([ROUNDING, *own]) * found.mean.abs()
    kept = varies if found.scatter.dim() == 1 else torch.outer(varies, varies)
    return Moments(found.count, found.mean, torch.where(kept, found.scatter, 0.0))


def times(rows: Tensor, by: Tensor) -> Tensor:
    """Each feature by its number, or all by a matrix."""
    return rows * by if by.dim() == 1 else rows @ by


def buffer_type(dtypes: set[torch.dtype]) -> torch.dtype:
    """The widest floating type of the data, at least float32; for integers the default."""
    floating = [one for one in dtypes if one.is_floating_point] or [torch.get_default_dtype()]
    wide = torch.float32
    for one in floating:
        wide = torch.promote_types(wide, one)
    return wide


def sized(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before a state is loaded into a layer that is not fitted: give its buffers their sizes."""
    for name in BUFFERS:
        saved, own = state.get(prefix + name), getattr(module, name)
        if isinstance(saved, Tensor) and own.numel() == 0:
            setattr(module, name, torch.empty(saved.shape, dtype=saved.dtype, device=own.device))


def described(x: Tensor) -> str:
    """Shape and type, for a message."""
    return f"of shape {tuple(x.shape)} and type {str(x.dtype).removeprefix('torch.')}"
