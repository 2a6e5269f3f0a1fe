"""Which weights can be pruned: those of linear layers and convolutions, as matrices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from thalweg.pruning.pattern import Pattern

Kind = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@final
@dataclass(frozen=True)
class Layer:
    """A layer whose weight can be pruned.

    Attributes:
        path: of the module in the model, "" for the model itself.
        module: the layer.
    """

    path: str
    module: Kind

    @property
    def weight(self) -> str:
        """The name of the weight among the model's parameters."""
        return f"{self.path}.weight".removeprefix(".")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the weight as a matrix: (out, in x kernel)."""
        size = self.module.weight.shape
        return size[0], size[1:].numel()

    @property
    def groups(self) -> int:
        """Parts that the layer's rows fall into, each with inputs of its own."""
        return 1 if isinstance(self.module, nn.Linear) else self.module.groups

    @property
    def mask(self) -> Tensor | None:
        """What is kept already, as a matrix; None where nothing was pruned."""
        found = getattr(self.module, "weight_mask", None)
        return None if found is None else found.bool().reshape(self.shape)


def layers_of(model: nn.Module, chosen: Iterable[str] | None, pattern: Pattern) -> list[Layer]:
    """The layers to prune, in the order of the model's modules.

    Args:
        model: it and the modules in it.
        chosen: paths of modules; None for all linear layers and convolutions that train, but for
            those that the pattern does not fit.
        pattern: of the zeros.

    Raises:
        TypeError: a chosen module is of another kind.
        ValueError: a module is not there, is not fitted by the pattern, shares its weight with
            another, or no layer is left.
    """
    found = {path: Layer(path, m) for path, m in model.named_modules() if isinstance(m, KINDS)}
    if chosen is not None:
        return [named(model, found, path, pattern) for path in dict.fromkeys(chosen)]
    fit = [
        one
        for one in found.values()
        if isinstance(one.module._parameters.get(stored(one.module)), nn.Parameter)
        and not pattern.misfit(*one.shape)
    ]
    if not fit:
        why = misfits(found.values(), pattern) or "it has no linear layer or convolution"
        raise ValueError(f"prune({type(model).__name__}): no layer can be pruned: {why}.")
    return fit


def stored(module: nn.Module) -> str:
    """The name under which a layer keeps its weight: another one where it is pruned."""
    return "weight_orig" if "weight_orig" in module._parameters else "weight"


def named(model: nn.Module, found: dict[str, Layer], path: str, pattern: Pattern) -> Layer:
    """A layer that was asked for by its path."""
    if path not in found:
        modules = dict(model.named_modules())
        if path in modules:
            kind = type(modules[path]).__name__
            raise TypeError(f"layers: {path!r} is a {kind}; linear layers and convolutions only.")
        raise ValueError(f"layers: the model has no {path!r}; it has {', '.join(found) or 'none'}.")
    why = pattern.misfit(*found[path].shape)
    if why:
        raise ValueError(f"pattern {pattern}: {path!r} cannot have it: {why}; leave it out.")
    return found[path]


def misfits(layers: Iterable[Layer], pattern: Pattern) -> str:
    """Why no layer has the pattern."""
    whys = [f"{one.path!r}: {pattern.misfit(*one.shape)}" for one in layers]
    return "; ".join(why for why in whys if not why.endswith(": "))


def released(layers: Iterable[Layer]) -> None:
    """Make earlier masks of the layers permanent, so that weights are parameters again."""
    for layer in layers:
        if layer.mask is not None:
            torch_prune.remove(layer.module, "weight")  # type: ignore[no-untyped-call]


def masked(layers: Iterable[Layer], masks: dict[str, Tensor]) -> None:
    """Put masks (True: kept), matrices by the layers' paths, on weights."""
    for layer in layers:
        mask = masks[layer.path].reshape(layer.module.weight.shape)
        torch_prune.custom_from_mask(layer.module, "weight", mask)  # type: ignore[no-untyped-call]
