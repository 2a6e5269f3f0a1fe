"""Every weight of a model drawn anew, so that signals and gradients keep their variance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from thalweg.training.initialization.fans import EMBEDDINGS
from thalweg.training.initialization.fixup import Fixup
from thalweg.training.initialization.gain import Nonlinearity, squared_gain
from thalweg.training.initialization.lsuv import LSUV
from thalweg.training.initialization.plans import Step, plan
from thalweg.training.initialization.scheme import Scheme
from thalweg.training.normalization.places import NORMALIZATIONS

KINDS: Final = ("lecun", "glorot", "he", "orthogonal", "identity")
DISTRIBUTIONS: Final = ("normal", "uniform")
SCALES: Final = (*NORMALIZATIONS, nn.PReLU)
GAINED: Final = ("glorot", "he", "orthogonal")
Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def initialize(
    model: Model,
    kind: str | Fixup | LSUV,
    *,
    nonlinearity: Nonlinearity | None = None,
    distribution: str = "normal",
    forget_bias: float = 1.0,
    leave: str | Iterable[str] = (),
    generator: torch.Generator | None = None,
) -> Model:
    """Draw the weights of a model anew.

    What is drawn: the weights of linear, bilinear, convolutional and transposed convolutional
    layers, group by group; of recurrent layers, gate by gate, where states meet states always by
    orthogonal matrices, or the identity; of attention, each of q, k and v by itself; embeddings,
    with variance 1. Biases become zero. A weight that an embedding shares with a linear layer is
    drawn as that layer's.

    What is left alone: normalization layers, PReLU's slopes, attention's extra key and value, and
    parameters that are not trained (`requires_grad` False).

    Args:
        model: changed in place.
        kind: "lecun", "glorot" or "he" (see `thalweg.training.initialization.variance`);
            "orthogonal" (Saxe et al., 2014); "identity"; `Fixup(branches, head)` for residual nets
            without normalization; `LSUV(inputs)`, scaled by the data.
        nonlinearity: what stands between the layers, for the gain of "he" (where it is "relu"
            unless said), "glorot" and "orthogonal" (where it is "linear"); a name in
            `torch.nn.functional` or a function.
        distribution: "normal" or "uniform"; of the same variance.
        forget_bias: of an LSTM's forget gates.
        leave: names of parameters or modules to leave alone; one alone as it is.
        generator: the stream of random numbers, on the CPU; torch's own if None.

    Returns:
        `model`.

    Raises:
        ValueError: An argument cannot be; or the model holds parameters that no rule is for, or
            that are parametrized (torch.nn.utils.parametrize), or have no shape or no place yet.
            Nothing is changed then, unless it is the outputs on LSUV's batch that do not vary.
    """
    base = kind if isinstance(kind, str) else kind.base
    check(model, kind, nonlinearity, distribution)
    default = "relu" if base == "he" else "linear"
    gain = squared_gain(default if nonlinearity is None else nonlinearity)
    scheme = Scheme(base, gain, distribution == "uniform", generator)
    if not isinstance(kind, str):
        kind.check(model)
    kept = (leave,) if isinstance(leave, str) else tuple(leave)
    found = steps(model, scheme, forget_bias, kept)
    for parameter, drawn in found:
        parameter.copy_(drawn())
    if not isinstance(kind, str):
        kind.finish(model, {id(parameter) for parameter, _ in found})
    return model


def check(
    model: nn.Module, kind: str | Fixup | LSUV, nonlinearity: Nonlinearity | None, distribution: str
) -> None:
    """Raise unless the arguments go together."""
    shown = repr(kind) if isinstance(kind, str) else f"{type(kind).__name__}(...)"
    call = f"initialize({type(model).__name__}, {shown})"
    if isinstance(kind, str) and kind not in KINDS:
        raise ValueError(
            f"{call}: choose one of {', '.join(KINDS)}, or give Fixup(branches, head) or "
            "LSUV(inputs)."
        )
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"{call}, distribution={distribution!r}: choose normal or uniform.")
    if nonlinearity is not None and kind not in GAINED and not isinstance(kind, Fixup):
        raise ValueError(
            f"{call}, nonlinearity={nonlinearity!r}: it has no gain; leave the nonlinearity out, "
            f"or choose one of {', '.join(GAINED)}."
        )


def steps(
    model: nn.Module, scheme: Scheme, forget_bias: float, leave: tuple[str, ...]
) -> list[Step]:
    """What is drawn, each parameter once."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    check_leave(model, leave)
    kept = {
        id(parameter)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad or any(f"{name}.".startswith(f"{one}.") for one in leave)
    }
    settled = kept | {id(parameter) for parameter in left_alone(model)}
    found: list[Step] = []
    for name, module in ordered(model):
        own = {id(parameter) for parameter in module.parameters(recurse=False)} - settled
        if not own:
            continue
        check_drawable(name, module)
        for step in planned(name, module, scheme, forget_bias):
            if id(step[0]) not in settled:
                settled.add(id(step[0]))
                found.append(step)
    refuse([name for at, name in names.items() if at not in settled])
    return found


def ordered(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Embeddings last, so that a weight shared with a linear layer is drawn as that layer's."""
    yield from sorted(model.named_modules(), key=lambda item: isinstance(item[1], EMBEDDINGS))


def left_alone(model: nn.Module) -> Iterator[Tensor]:
    """The parameters that every scheme leaves as they are."""
    for module in model.modules():
        if isinstance(module, SCALES):
            yield from module.parameters(recurse=False)
        elif isinstance(module, nn.MultiheadAttention):
            yield from (one for one in (module.bias_k, module.bias_v) if one is not None)


def planned(name: str, module: nn.Module, scheme: Scheme, forget_bias: float) -> list[Step]:
    """The plan of a module; a refusal names it."""
    try:
        return list(plan(module, scheme, forget_bias))
    except ValueError as error:
        raise ValueError(f"initialize: {name!r} ({type(module).__name__}): {error}.") from None


def check_drawable(name: str, module: nn.Module) -> None:
    """Raise where numbers that are written into a module's weights would not be its weights."""
    where = f"initialize: {name!r} ({type(module).__name__})"
    if parametrize.is_parametrized(module) or hasattr(module, "weight_g"):
        raise ValueError(
            f"{where} computes its weights from others; initialize the model before it is "
            f"parametrized, or leave={(name,)}."
        )
    for parameter in module.parameters(recurse=False):
        if is_lazy(parameter) or parameter.is_meta:
            raise ValueError(
                f"{where} has no numbers yet; give the model a batch first (lazy layers), or "
                "to_empty(device=...) (the meta device)."
            )


def check_leave(model: nn.Module, leave: tuple[str, ...]) -> None:
    """Raise where there is nothing of a name."""
    known = {name for name, _ in model.named_modules()}
    known |= {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name in leave:
        if name not in known:
            raise ValueError(f"initialize(leave={leave}): the model has no {name!r}.")


def refuse(names: list[str]) -> None:
    """Raise unless every parameter has a rule."""
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ValueError(
            f"initialize: there is no rule for {shown}: a parameter that belongs to no layer of "
            f"torch. Draw it yourself, and name it in leave={(names[0],)}."
        )
