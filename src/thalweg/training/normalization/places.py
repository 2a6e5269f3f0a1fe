"""Where a network's hidden nonlinearities stand: which layer each follows, found by tracing.

The model's `forward` is read by `torch.fx` with symbols instead of data, so that nonlinearities
called as functions are seen as well as modules. What carries values from a layer to its
nonlinearity without weights (pooling, dropout, a change of shape) may stand between them. An
output's own activation is no hidden one: a layer with weights must come after it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

from torch import fx, nn
from torch.nn.modules import activation, dropout, pooling
from torch.nn.modules.batchnorm import _NormBase

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
LAYERS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Of torch's activations, those that are no function of one number.
NOT_POINTWISE: Final = {"MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin"}
NONLINEARITIES: Final = tuple(
    getattr(activation, name) for name in activation.__all__ if name not in NOT_POINTWISE | {"GLU"}
)
PASSING: Final = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    dropout._DropoutNd,
    *(getattr(pooling, name) for name in pooling.__all__ if "Unpool" not in name),
)
NORMALIZATIONS: Final = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
PASSING_NAMES: Final = {
    *("flatten", "unflatten", "reshape", "view", "squeeze", "unsqueeze", "contiguous"),
    *(f"{name}{n}d" for name in ("max_pool", "avg_pool", "adaptive_avg_pool") for n in (1, 2, 3)),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "boolean_dispatch"),
}


def bare(name: str) -> str:
    """A function's or a class's name without its case and underscores: `leaky_relu_`, LeakyReLU."""
    return name.lower().replace("_", "")


NONLINEAR_NAMES: Final = {bare(one.__name__) for one in NONLINEARITIES}


@final
@dataclass(frozen=True)
class Place:
    """A layer whose outputs enter a hidden nonlinearity.

    Attributes:
        layer: the name of its module.
        nonlinearity: the name of the nonlinearity's module; None where it is called as a function.
        uses: how many times `forward` calls the layer, or the nonlinearity's module.
        normalized: whether what the nonlinearity gives is normalized already.
    """

    layer: str
    nonlinearity: str | None
    uses: tuple[int, int]
    normalized: bool


def places(model: nn.Module) -> list[Place]:
    """The hidden nonlinearities that follow a layer of `model`, in the order of `forward`.

    Raises:
        ValueError: `forward` cannot be traced.
    """
    graph = traced(model)
    modules = dict(model.named_modules())
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    found: dict[str, Place] = {}
    for node in graph.nodes:
        after = nonlinearity_after(node, modules) if is_layer(node, modules) else None
        if after is not None and leads_to_a_layer(after, modules):
            own = str(after.target) if after.op == "call_module" else None
            layer = str(node.target)
            times = (uses[layer], uses[own] if own else 1)
            found[layer] = Place(layer, own, times, enters_normalization(after, modules))
    return list(found.values())


def traced(model: nn.Module) -> fx.Graph:
    """What `forward` computes."""
    try:
        return Tracer().trace(model)
    # A forward that is handed symbols may fail in any way there is.
    except Exception as error:
        raise ValueError(
            f"insert_normalization({type(model).__name__}): its forward cannot be traced by "
            f"torch.fx ({error}). It must not branch on values; otherwise put layers such as "
            "nn.BatchNorm2d into the model by hand."
        ) from error


@final
class Tracer(fx.Tracer):
    """Looks into every module that holds a layer; into others where it can."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is taken as it is."""
        if super().is_leaf_module(m, module_qualified_name):
            return True
        return not (any(isinstance(one, LAYERS) for one in m.modules()) or is_traceable(m))


def is_traceable(module: nn.Module) -> bool:
    """Whether a module's own forward can be read; what checks or draws numbers cannot."""
    try:
        fx.Tracer().trace(module)
    except Exception:
        return False
    return True


def is_layer(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node calls a linear or a convolutional layer."""
    return node.op == "call_module" and isinstance(modules[str(node.target)], LAYERS)


def nonlinearity_after(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The nonlinearity that a node's result enters, and nothing else does."""
    while len(node.users) == 1:
        (node,) = node.users
        if is_one(node, modules, NONLINEARITIES, NONLINEAR_NAMES):
            return node
        if not is_one(node, modules, PASSING, PASSING_NAMES):
            return None
    return None


def is_one(
    node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type, ...], names: set[str]
) -> bool:
    """Whether a node calls a module of these kinds, or a function or method of these names."""
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], kinds)
    if node.op not in ("call_function", "call_method"):
        return False
    name = getattr(node.target, "__name__", str(node.target))
    return name in names or bare(name) in names


def enters_normalization(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node's result is normalized, before anything with weights takes it."""
    return any(
        is_one(user, modules, NORMALIZATIONS, set())
        or (is_one(user, modules, PASSING, PASSING_NAMES) and enters_normalization(user, modules))
        for user in node.users
    )


def leads_to_a_layer(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a module with weights of its own, other than for normalization, comes after a node.

    Modules that the tracer does not look into (recurrent layers, attention) are among these.
    """
    ahead, seen = list(node.users), set[fx.Node]()
    while ahead:
        node = ahead.pop()
        if has_weights(node, modules):
            return True
        ahead += [user for user in node.users if user not in seen]
        seen.update(node.users)
    return False


def has_weights(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node reads parameters that are no scale and shift."""
    if node.op == "get_attr":
        return True
    if node.op != "call_module":
        return False
    module = modules[str(node.target)]
    idle = isinstance(module, (*NORMALIZATIONS, *NONLINEARITIES))
    return not idle and next(module.parameters(), None) is not None
