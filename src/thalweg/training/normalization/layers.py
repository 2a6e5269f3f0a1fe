"""torch's normalization layer for the outputs of a given layer, or a refusal that says why not."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn

from thalweg.training.normalization.axes import KINDS
from thalweg.training.normalization.places import Layer

BATCH: Final = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE: Final = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
PER_GROUP: Final = 16  # channels, at least: among the best in table 3 of Wu & He (2018)
FEWEST: Final = 3  # numbers to normalize together: two become -1 and 1, whatever they were


class FeaturesLast(nn.Module):
    """Normalize (..., C) as (N, C): for what comes out of a linear layer, whatever its shape.

    torch's batch and group normalization take axis 1 for the channels; behind a linear layer that
    is given (N, T, d) they would normalize over the wrong axis, without a word where T equals d.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """The shape of `x`."""
        normalized: Tensor = self.norm(x.flatten(0, -2))
        return normalized.view(x.shape)


def normalization_of(layer: Layer, kind: str, affine: bool, groups: int | None) -> nn.Module:
    """A layer that normalizes what `layer` gives, on its device and in its type.

    Raises:
        ValueError: `layer` has too few channels for it, or no space, or not such groups.
    """
    space = 0 if isinstance(layer, nn.Linear) else len(layer.kernel_size)
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    groups = checked(kind, channels, space, groups)
    options: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    norm: nn.Module
    if kind == "batch":
        norm = BATCH[space or 1](channels, affine=affine, **options)
        norm.register_forward_pre_hook(refuse_single_samples)
    elif kind == "instance":
        norm = INSTANCE[space](channels, affine=affine, **options)
    elif kind == "layer" and space == 0:
        return nn.LayerNorm(channels, elementwise_affine=affine, **options).train(layer.training)
    else:
        # Over C, H, W this is layer normalization too; nn.LayerNorm would have to know H and W.
        norm = nn.GroupNorm(groups, channels, affine=affine, **options)
    return (norm if space else FeaturesLast(norm)).train(layer.training)


def checked(kind: str, channels: int, space: int, groups: int | None) -> int:
    """How many groups there are to be, after seeing that every group has enough to average."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
    if groups is not None and (kind != "group" or groups < 1 or channels % groups):
        raise ValueError(
            f"groups={groups}: it is for kind='group', and must divide the {channels} channels"
        )
    if kind == "instance" and space == 0:
        raise ValueError("a linear layer's outputs have no space to average over: use 'layer'")
    held = groups or (default_groups(channels) if kind == "group" else 1)
    if kind in ("layer", "group") and space == 0 and channels // held < FEWEST:
        raise ValueError(
            f"{channels // held} numbers normalized together keep nothing but their order: "
            f"use {'fewer groups or ' if channels >= FEWEST else ''}'batch', or more features"
        )
    return held


def default_groups(channels: int) -> int:
    """As many groups as there can be of `PER_GROUP` channels or more, all of one size."""
    most = max(channels // PER_GROUP, 1)
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


def refuse_single_samples(norm: nn.Module, given: tuple[Any, ...]) -> None:
    """Before batch normalization in training: one sample is no batch to take statistics of."""
    if norm.training and len(given[0]) < 2:
        raise ValueError(
            f"{type(norm).__name__} in training was given a batch of one sample, whose own "
            "statistics would take its place. Use larger batches, drop_last=True in the "
            "DataLoader where only the last one is short, or 'group' or 'layer' normalization."
        )
