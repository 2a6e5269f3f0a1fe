r"""Batch, layer, instance and group normalization: one idea over different axes of (N, C, H, W).

    y = scale * (x - mean) / sqrt(variance + eps) + shift,

where mean and variance (over n, not n - 1) are taken over

    batch      N, H, W                each channel, over all samples
    layer      C, H, W                each sample
    instance   H, W                   each channel of each sample
    group      H, W and a part of C   each group of channels of each sample

and scale and shift are one number for each channel. With one group, group normalization is layer
normalization; with as many groups as channels it is instance normalization.

Y. LeCun's slide gives the axes of group normalization as "N, C subset". In the paper (Y. Wu & K.
He, *Group normalization*, ECCV 2018, equation 7) the set of a group holds the entries with the same
k_N, so that samples are *not* mixed, and all of H and W; its point is to be free of the batch. This
is what is computed here, and what torch computes.

S. Ioffe & C. Szegedy, *Batch normalization* (ICML 2015); J. L. Ba, J. R. Kiros & G. E. Hinton,
*Layer normalization* (2016); D. Ulyanov, A. Vedaldi & V. Lempitsky, *Instance normalization*
(2016). torch's own layers are what to train with (`insert_normalization`); this is their definition
in one place, in training mode.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

KINDS: Final = ("batch", "layer", "instance", "group")
EPS: Final = 1e-5


def normalize(x: Tensor, kind: str, *, groups: int = 1, eps: float = EPS) -> Tensor:
    """Standardize `x` over the axes of `kind`.

    Args:
        x: (N, C, ...) with any number of axes of space, none for the outputs of a linear layer.
        kind: "batch", "layer", "instance" or "group".
        groups: of neighbouring channels, for "group"; a divisor of C.
        eps: added to the variance.

    Returns:
        The shape of `x`.

    Raises:
        ValueError: There is no such kind; or `x` has no channels; or there are no such groups; or
            instance normalization is asked for where there is no space.
    """
    check(x, kind, groups)
    apart = grouped(x, groups if kind == "group" else 1)
    return standardized(apart, axes(kind, apart.dim()), eps).reshape(x.shape)


def axes(kind: str, dimensions: int) -> tuple[int, ...]:
    """What is averaged over, of (N, group, channel in the group, space ...)."""
    space = tuple(range(3, dimensions))
    return {"batch": (0, *space), "instance": space}.get(kind, (2, *space))


def grouped(x: Tensor, groups: int) -> Tensor:
    """(N, C, ...) as (N, G, C / G, ...)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


def standardized(x: Tensor, over: tuple[int, ...], eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over some axes."""
    rest = x - x.mean(over, keepdim=True)
    return rest / (rest.square().mean(over, keepdim=True) + eps).sqrt()


def check(x: Tensor, kind: str, groups: int) -> None:
    """Raise unless `x` has the axes that `kind` needs."""
    call = f"normalize(x, {kind!r})"
    if kind not in KINDS:
        raise ValueError(f"{call}: choose one of {', '.join(KINDS)}.")
    if x.dim() < 2:
        raise ValueError(f"{call}: x is {tuple(x.shape)}; it must be (samples, channels, ...).")
    if kind == "instance" and x.dim() < 3:
        raise ValueError(f"{call}: (N, C) has no space to average over; use 'layer' or 'batch'.")
    if groups != 1 and (kind != "group" or groups < 1 or x.shape[1] % groups):
        raise ValueError(
            f"normalize(x, {kind!r}, groups={groups}): groups is for 'group', and must divide the "
            f"{x.shape[1]} channels."
        )
