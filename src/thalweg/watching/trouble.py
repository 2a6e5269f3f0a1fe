"""What broke in a run: a loss, gradient or parameter that is not finite, or an exception."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from thalweg.watching.good_state import trained_by_all
from thalweg.watching.origin import SINGULAR, Origin, operation_of, origin_of
from thalweg.watching.roots import names_in, path_of
from thalweg.watching.structure import Structure, nodes_of
from thalweg.watching.tensors import described, is_finite


class TrainingBroke(RuntimeError):
    """A watched run has broken and was asked to stop there."""


@dataclass
class Trouble:
    """The first thing that broke.

    Attributes:
        kind: ``loss``, ``gradient``, ``parameter``, ``data`` or ``exception``.
        step: How many updates had been made.
        says: What happened, in one sentence.
        module: Where, within the program's models; empty if that is not known.
        operation: The call that made it; empty if that is not known.
        inputs: What it was given: shape, type, range, mean, deviation, share that is not finite.
        state: The file with the last good state; empty if none could be kept.
        state_step: How many updates that state has behind it.
        load: The lines that load it.
    """

    kind: str
    step: int
    says: str
    module: str = ""
    operation: str = ""
    inputs: list[dict[str, Any]] = field(default_factory=list)
    state: str = ""
    state_step: int | None = None
    load: str = ""


def of_loss(
    loss: torch.Tensor, step: int, structure: Structure, roots: Sequence[nn.Module]
) -> Trouble:
    """What a loss that is not finite comes from; to be asked before it is differentiated."""
    origin = origin_of(loss)
    value = f"{float(loss.detach()):g}"
    if origin is None:
        return Trouble("loss", step, f"The loss is {value}.")
    inputs = [described(name, one) for name, one in origin.inputs.items() if one.numel()]
    if origin.kind == "parameter" and origin.leaf is not None:
        (name,) = names_in(roots, [origin.leaf])
        says = f"The loss is {value} because parameter {name} already is not finite"
        return Trouble("parameter", step, f"{says}: an earlier update has made it so.")
    if origin.kind == "data":
        return Trouble(
            "data", step, f"The loss is {value}: what enters is not finite.", "", "", inputs
        )
    module, operation = _made_by(origin, nodes_of(loss), structure, roots)
    says = f"The loss is {value}: {operation}{f' in {module}' if module else ''} made it"
    return Trouble("loss", step, f"{says} out of finite numbers.", module, operation, inputs)


def _made_by(
    origin: Origin, nodes: list[Any], structure: Structure, roots: Sequence[nn.Module]
) -> tuple[str, str]:
    """Module and operation of an origin's node."""
    made = structure.maker(nodes, origin.node)
    if made is None:
        return "", operation_of(origin.node).lower()
    return path_of(made.module, roots) if made.module else "", made.name


def of_gradient(
    optimizers: Sequence[Optimizer], step: int, structure: Structure, roots: Sequence[nn.Module]
) -> Trouble | None:
    """What a gradient that is not finite comes from, although its loss is; None if all are.

    The gradient flows from the loss downwards: what made it bad lies above the last call whose own
    parameters have a bad gradient, and below the next one whose gradients are in order.
    """
    params = [p for p in trained_by_all(optimizers) if p.grad is not None]
    bad = [p for p in params if p.grad is not None and not is_finite(p.grad)]
    if not bad:
        return None
    names = names_in(roots, bad)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    says = f"The loss is finite and its gradient is not, in {shown}"
    inputs = [
        described(f"gradient of {name}", p.grad)
        for name, p in zip(names[-2:], bad[-2:], strict=True)
        if p.grad is not None and not p.grad.is_sparse
    ]
    at = _suspects(structure, {id(p) for p in bad})
    if not at:
        return Trouble("gradient", step, f"{says}.", inputs=inputs)
    operation = " or ".join(dict.fromkeys(structure.made[i].name for i in at))
    inside = next((m for i in at if (m := structure.made[i].module)), None)
    module = path_of(inside, roots) if inside else ""
    where = f" in {module}" if module else ""
    return Trouble(
        "gradient", step, f"{says}: the slope of {operation}{where} is suspected.", module,
        operation, inputs,
    )  # fmt: skip


def _suspects(structure: Structure, bad: set[int]) -> list[int]:
    """The nodes with a singular point between the bad gradients and the good ones."""
    touched = [i for i, leaves in enumerate(structure.leaves) if any(id(x) in bad for x in leaves)]
    if not touched:
        return []
    start = touched[-1]
    rest = range(start + 1, len(structure.kinds))
    end = next((i for i in rest if structure.leaves[i]), len(structure.kinds))
    singular = [i for i in range(start, end) if _is_singular(structure.kinds[i])]
    return singular[-3:]


def _is_singular(kind: str) -> bool:
    return kind.rpartition("::")[2].partition("Backward")[0] in SINGULAR


def of_exception(error: BaseException, step: int, roots: Sequence[nn.Module]) -> Trouble:
    """What an exception says, and the innermost module that it came through, with its inputs."""
    first = (str(error).strip().splitlines() or [""])[0][:300]
    frame = _innermost(error.__traceback__)
    says = f"{type(error).__name__}: {first}"
    if frame is None:
        return Trouble("exception", step, says)
    here = frame.tb_frame
    local = here.f_locals
    names = here.f_code.co_varnames[1 : here.f_code.co_argcount]
    given = {n: local[n] for n in names if isinstance(local.get(n), torch.Tensor)}
    inputs = [described(n, one) for n, one in given.items() if one.numel() and not one.is_sparse]
    return Trouble("exception", step, says, path_of(local["self"], roots), "", inputs)


def _innermost(traceback: TracebackType | None) -> TracebackType | None:
    """The last frame of the traceback that is a module's own forward pass."""
    found = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name == "forward" and isinstance(
            traceback.tb_frame.f_locals.get("self"), nn.Module
        ):
            found = traceback
        traceback = traceback.tb_next
    return found
