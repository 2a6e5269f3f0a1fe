"""Normalization layers put into a model that has none, before or after its nonlinearities."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar, cast

from torch import nn

from thalweg.training.normalization.axes import KINDS
from thalweg.training.normalization.layers import normalization_of
from thalweg.training.normalization.places import Layer, Place, places

WHERE: Final = ("before", "after")
CANCELS_BIAS: Final = ("batch", "instance")  # they subtract each channel's own mean
Model = TypeVar("Model", bound=nn.Module)


def insert_normalization(
    model: Model,
    kind: str,
    where: str = "before",
    *,
    affine: bool | None = None,
    groups: int | None = None,
) -> Model:
    """Normalize what enters the hidden nonlinearities of a model, or what comes out of them.

    Every linear or convolutional layer whose outputs enter a hidden nonlinearity (through pooling,
    dropout or a change of shape at most) becomes `nn.Sequential(layer, normalization)`, or the
    nonlinearity's module becomes `nn.Sequential(nonlinearity, normalization)`. The layers are
    torch's own. What is left alone: output layers, layers that feed something besides a
    nonlinearity, layers (or, after them, nonlinearities) that a normalization layer follows
    already, and whatever stands inside recurrent layers and attention.

    LeCun's slides on where: before the nonlinearity scale and shift are needed, for without them
    its inputs are held to where they are; after it they may hurt, for the next layer has weights
    and a bias of its own. So they are trained before and left out after, unless `affine` says
    otherwise. A bias that batch or instance normalization would subtract again is taken away.

    Call it before the optimizer is made: parameters are added, and biases taken away.

    Args:
        model: changed in place.
        kind: "batch", "layer", "instance" or "group"; see
            `thalweg.training.normalization.normalize` for the axes. "layer" is over channels and
            space behind a convolution, and over the features behind a linear layer.
        where: "before" or "after" the nonlinearities. After, these must be modules.
        affine: whether scale and shift are trained.
        groups: how many groups of channels for "group"; None for groups of 16 or a few more.

    Returns:
        `model`.

    Raises:
        ValueError: An argument cannot be; or `forward` cannot be traced; or there is no place; or
            a layer has too few channels, or no space, for this kind; or one module is used several
            times, which would mix the statistics of its uses; or, `where="after"`, a nonlinearity
            is a function. Nothing is changed then.
    """
    call = f"insert_normalization({type(model).__name__}, {kind!r}, {where!r})"
    if kind not in KINDS or where not in WHERE:
        raise ValueError(
            f"{call}: choose one of {', '.join(KINDS)}, and one of {', '.join(WHERE)}."
        )
    found = [one for one in places(model) if where == "before" or not one.normalized]
    if not found:
        raise ValueError(
            f"{call}: no linear or convolutional layer is followed by a hidden nonlinearity alone. "
            "Where there is one already normalized, nothing is left to do."
        )
    scaled = where == "before" if affine is None else affine
    made = {}
    for place in found:
        layer = cast(Layer, model.get_submodule(place.layer))
        try:
            norm = normalization_of(layer, kind, scaled, groups)
            made[wrapped(place, where)] = norm
        except ValueError as error:
            raise ValueError(f"{call}: layer {place.layer!r}: {error}.") from None
    for name, norm in made.items():
        inner = model.get_submodule(name)
        role = "layer" if where == "before" else "nonlinearity"
        parts = OrderedDict([(role, inner), ("normalization", norm)])
        model.set_submodule(name, nn.Sequential(parts))
        if where == "before" and kind in CANCELS_BIAS and "bias" in inner._parameters:
            inner.register_parameter("bias", None)
    return model


def wrapped(place: Place, where: str) -> str:
    """The name of the module that the normalization goes with."""
    if where == "after" and place.nonlinearity is None:
        raise ValueError(
            "its nonlinearity is called as a function; make it a module of its own, such as "
            "nn.ReLU(), or normalize before it"
        )
    if place.uses[where == "after"] > 1:
        which = "its nonlinearity's module" if where == "after" else "it"
        raise ValueError(f"{which} is used several times; give each use a module of its own")
    return place.layer if where == "before" else str(place.nonlinearity)
