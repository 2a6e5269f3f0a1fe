"""What is added to the data's own loss, and how much of the data is explained under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakIdKeyDictionary

from thalweg.recorder import Step
from thalweg.recorder.anatomy import plain
from thalweg.recorder.session import Call
from thalweg.recorder.tallies import targets_in
from thalweg.recorder.tape import Kept, Note, Slot
from thalweg.recorder.terms import added_term, follow, meets_targets

ROWS = 8
CLASSES = frozenset({"cross_entropy", "nll_loss"})
SIGMOIDS = frozenset({"binary_cross_entropy_with_logits"})


def terms(step: Step) -> Mapping[str, Any]:
    """The sum of what is added to the data's own loss, and the share of the data explained.

    The share is 1 - (what the outputs leave) / (what the best constant would leave): of squared
    errors, or of the cross-entropy for classes. Nothing where the loss has no such term.
    """
    tape = step.tapes[-1]
    before = {id(leaf): value for leaf, value in zip(step.leaves, step.before, strict=True)}
    memory = tape.begun([before[id(leaf)].detach().requires_grad_() for leaf in tape.leaves])
    of_data, added, explained = WeakIdKeyDictionary(), [], []
    for note in tape.notes:
        call = _call(note, memory)
        at = added_term(call, of_data)
        if at is not None:
            added.append(float(call.args[at].detach()))
        if meets_targets(call):
            explained.append(share_explained(call))
        tape.go_on([note], memory)
        for slot in note.results:
            if slot is not None:
                follow(call, memory[slot], of_data)
    known = [one for one in explained if one is not None]
    return {"terms": {"added": sum(added), "explained": max(known)}} if added and known else {}


def share_explained(call: Call) -> float | None:
    """How much of the targets' spread over the samples the outputs explain; None if unknown."""
    targets = targets_in(call)
    given = [*call.args[:2], call.kwargs.get("input"), call.kwargs.get("target")]
    outputs = next((o for o in given if isinstance(o, torch.Tensor) and o is not targets), None)
    if targets is None or outputs is None or len(targets) < ROWS:
        return None
    out, y = outputs.detach().double(), targets.detach()
    if plain(call.name) in CLASSES and not y.is_floating_point():
        return _share_of_classes(call, y.flatten())
    if out.shape != y.shape:
        return None
    out, y = (out.sigmoid() if plain(call.name) in SIGMOIDS else out), y.double()
    spread = float((y - y.mean(0)).square().sum())
    return 1 - float((out - y).square().sum()) / spread if spread else None


def _share_of_classes(call: Call, labels: torch.Tensor) -> float | None:
    shares = torch.bincount(labels[labels >= 0]).double() / len(labels)
    constant = -float(torch.special.xlogy(shares, shares).sum())
    loss = call.func(*call.args, **call.kwargs).detach()
    return 1 - float(loss) / constant if loss.numel() == 1 and constant else None


def _call(note: Note, memory: list[Any]) -> Call:
    def found(part: Any) -> Any:
        if isinstance(part, Slot):
            return memory[part.index]
        return part.value if isinstance(part, Kept) else part

    return Call(note.func, note.name, tree_map(found, note.args), tree_map(found, note.kwargs))
