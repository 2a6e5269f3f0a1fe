"""Generic changes that the gate makes to a training script while it runs in a process of its own.

Each change is what one piece of usual advice says: another rate, Adam, clipping, standardized
inputs. It alters PyTorch, or the text of the script, before the script is played; nothing is
undone, because the process ends with the script. A script that updates its parameters without
`torch.optim` is changed in its text where that can be done (rates, lengths) and is left as it is
elsewhere.
"""

import ast
import contextlib
import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

Group = dict[str, Any]
RATES = {"lr", "rate", "learning_rate", "step_size"}
LENGTHS = {"epochs", "steps", "max_steps", "updates", "iterations", "rounds"}
COUNTERS = {"epoch", "step", "update", "iteration", "round_", "_"}
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "LBFGS")
USUAL = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.EmbeddingBag)


def on_every_group(change: Callable[[Group], None]) -> None:
    """Apply a change to each group of parameters that an optimizer is given."""
    add = torch.optim.Optimizer.add_param_group

    def changed(self: torch.optim.Optimizer, group: Group) -> None:
        add(self, group)
        change(self.param_groups[-1])

    torch.optim.Optimizer.add_param_group = changed  # type: ignore[method-assign,assignment]


def scale_rate(factor: float) -> None:
    """Multiply every learning rate."""
    on_every_group(lambda group: group.update(lr=group["lr"] * factor))


def use_momentum(momentum: float) -> None:
    """Give plain descent a momentum."""
    on_every_group(lambda group: group.update(momentum=momentum) if "momentum" in group else None)


def use_adam(rate: float) -> None:
    """Make every optimizer an Adam at its defaults but for the rate; groups lose their settings."""
    adam = torch.optim.Adam

    def make(params: Any, *_: object, **__: object) -> torch.optim.Optimizer:
        given = list(params)
        grouped = bool(given) and isinstance(given[0], dict)
        return adam([{"params": g["params"]} for g in given] if grouped else given, lr=rate)

    for name in OPTIMIZERS:
        setattr(torch.optim, name, make)


def clip_gradients(norm: float) -> None:
    """Clip the gradient's norm before every step."""

    def clip(optimizer: torch.optim.Optimizer, *_: object) -> None:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(params, norm)

    register_optimizer_step_pre_hook(clip)


def leaky_units() -> None:
    """Turn rectifiers and sigmoids into leaky rectifiers."""
    leaky = nn.functional.leaky_relu
    for name in ("ReLU", "Sigmoid", "Tanh"):
        setattr(nn, name, nn.LeakyReLU)
        setattr(torch, name.lower(), leaky)
    nn.functional.relu = leaky  # type: ignore[assignment]


class Outermost:
    """Calls `see(which, inputs)` at each call of a module that no other module makes.

    Modules without parameters (losses, activations) are passed over. `which` counts the modules in
    the order of their first calls, so that it names the same one when the script is played again.
    """

    def __init__(self, see: Callable[[int, Tensor], Tensor | None]) -> None:
        self.see, self.depth = see, 0
        self.order: dict[int, int] = {}
        self.handles = (
            register_module_forward_pre_hook(self.enter),  # type: ignore[arg-type]
            register_module_forward_hook(self.leave, always_call=True),
        )

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Before a module's forward."""
        self.depth += 1
        if self.depth > 1 or not inputs or next(module.parameters(), None) is None:
            return None
        if not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            return None
        which = self.order.setdefault(id(module), len(self.order))
        changed = self.see(which, inputs[0])
        return None if changed is None else (changed, *inputs[1:])

    def leave(self, *_: object) -> None:
        """After it, even if it raised."""
        self.depth -= 1

    def stop(self) -> None:
        """See no more calls."""
        for handle in self.handles:
            handle.remove()


def moments(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature, or of each channel of images (n, c, h, w)."""
    across = [0, 2, 3] if batch.dim() == 4 else [*range(batch.dim() - 1)] or [0]
    spread = batch.std(across, correction=0, keepdim=True)
    return batch.mean(across, keepdim=True), torch.where(spread > 1e-8, spread, 1.0)


def standardize(play: Callable[[], None], enough: int = 5000) -> Outermost:
    """Standardize what models are given, by what they saw while training in a first play.

    A model that is called without gradients alone (an average of weights, say) is given the moments
    of one with inputs of the same shape.
    """
    seen: dict[int, list[Tensor]] = {}

    def collect(which: int, batch: Tensor) -> None:
        batches = seen.setdefault(which, [])
        if torch.is_grad_enabled() and sum(map(len, batches)) < enough:
            batches.append(batch.detach().float())

    watching = Outermost(collect)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        play()
    watching.stop()
    found = {which: moments(torch.cat(batches)) for which, batches in seen.items() if batches}

    def apply(which: int, batch: Tensor) -> Tensor | None:
        shape = moments(batch)[0].shape
        alike = [pair for pair in found.values() if pair[0].shape == shape]
        if which not in found and not alike:
            return None
        mean, spread = found[which] if which in found else alike[0]
        return ((batch - mean) / spread).to(batch.dtype)

    return Outermost(apply)


def usual_initialization() -> None:
    """Initialize the usual layers anew, by PyTorch's defaults, at their model's first call."""

    def restart(module: nn.Module, _: object) -> None:
        if id(module) not in begun:
            begun.update(map(id, module.modules()))
            for layer in module.modules():
                if isinstance(layer, USUAL):
                    layer.reset_parameters()

    begun: set[int] = set()
    register_module_forward_pre_hook(restart)


class Rewritten(ast.NodeTransformer):
    """Multiplies the numbers that are given to some names, as assigned or as keywords."""

    def __init__(self, names: set[str], factor: float, counters: frozenset[str]) -> None:
        self.names, self.factor, self.counters = names, factor, counters

    def scaled(self, node: ast.expr) -> ast.expr:
        """A written number multiplied; anything else as it is."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return ast.Constant(type(node.value)(node.value * self.factor))
        return node

    def named(self, name: str | None) -> bool:
        """Whether a name is one of those sought, in any case."""
        return name is not None and name.lower() in self.names

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """`epochs = 5`."""
        if any(isinstance(target, ast.Name) and self.named(target.id) for target in node.targets):
            node.value = self.scaled(node.value)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        """`train(epochs=5)`."""
        if self.named(node.arg):
            node.value = self.scaled(node.value)
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        """`for epoch in range(5)`."""
        if isinstance(node.target, ast.Name) and node.target.id in self.counters:
            match node.iter:
                case ast.Call(func=ast.Name(id="range"), args=[count]):
                    node.iter.args = [self.scaled(count)]
        return self.generic_visit(node)


def rewrite(
    source: str, names: set[str], factor: float, counters: frozenset[str] = frozenset()
) -> str:
    """The script with the numbers of these names multiplied."""
    tree = Rewritten(names, factor, counters).visit(ast.parse(source))
    return ast.unparse(ast.fix_missing_locations(tree))


PATCHES: dict[str, Callable[[], None]] = {
    "rate x0.01": partial(scale_rate, 0.01),
    "rate x0.1": partial(scale_rate, 0.1),
    "rate x10": partial(scale_rate, 10.0),
    "rate x100": partial(scale_rate, 100.0),
    "momentum 0.9": partial(use_momentum, 0.9),
    "adam 1e-3": partial(use_adam, 1e-3),
    "adam 1e-2": partial(use_adam, 1e-2),
    "clip 1": partial(clip_gradients, 1.0),
    "usual init": usual_initialization,
    "leaky units": leaky_units,
}
CHANGES = (*PATCHES, "standardized", "longer x4")


def changed_text(source: str, change: str) -> str:
    """The script's text under a change: most changes leave it as it is."""
    if change == "longer x4":
        return rewrite(source, LENGTHS, 4, frozenset(COUNTERS))
    if change.startswith("rate") and "optim." not in source:
        return rewrite(source, RATES, float(change.partition("x")[2]))
    return source


def play(script: Path, change: str = "") -> None:
    """Run a script in this process with one thing changed."""
    source = changed_text(script.read_text(encoding="utf-8"), change)
    scope = {"__name__": "__main__", "__file__": str(script)}
    sys.argv, sys.path[0] = [str(script)], str(script.parent)

    def once() -> None:
        exec(compile(source, str(script), "exec"), dict(scope))

    if change in PATCHES:
        PATCHES[change]()
    elif change == "standardized":
        standardize(once)
    once()
