"""A loss and an output that fit: the softmax left out, the loss's class swapped, shapes made equal.

Where a softmax stands before a cross-entropy it is left out: the largest output stays the largest.
Where a sigmoid stands before a loss that applies it again the loss is swapped, because what the
script compares with one half are probabilities. Where several labels hold at once, the loss of the
one softmax is swapped for one that takes each label by itself.
"""

from __future__ import annotations

import ast

from thalweg.edits.optimizers import with_argument
from thalweg.edits.script import Script, is_method
from thalweg.edits.source import NotPlaced, Replacement, only
from thalweg.edits.training import loss_calls, without_gradients
from thalweg.interventions import LossWiring

NN, F = "torch.nn.", "torch.nn.functional."
SOFTMAX = ("torch.softmax", F + "softmax", NN + "Softmax")
LOG_SOFTMAX = ("torch.log_softmax", F + "log_softmax", NN + "LogSoftmax")
ON_PROBABILITIES = {NN + "BCEWithLogitsLoss": NN + "BCELoss",
                    F + "binary_cross_entropy_with_logits": F + "binary_cross_entropy"}  # fmt: skip
ON_OUTPUTS = {NN + "NLLLoss": NN + "CrossEntropyLoss", F + "nll_loss": F + "cross_entropy"}
OF_LABELS = {NN + "CrossEntropyLoss": NN + "BCEWithLogitsLoss",
             F + "cross_entropy": F + "binary_cross_entropy_with_logits"}  # fmt: skip
KNOWN_TO_BOTH = frozenset({"input", "target"})
OF_COUNTS = (NN + "PoissonNLLLoss", F + "poisson_nll_loss")
LOGARITHM = dict(zip(SOFTMAX, LOG_SOFTMAX, strict=True))
ELEMENTWISE = {f"{NN}{name}Loss" for name in ("MSE", "L1", "SmoothL1", "Huber")} | {
    f"{F}{name}_loss" for name in ("mse", "l1", "smooth_l1", "huber")
}


def loss_wiring(script: Script, change: LossWiring) -> list[Replacement]:
    """Wire the loss as its reading says."""
    places = {
        "logits": _logits,
        "log-probabilities": _log_probabilities,
        "rates": lambda script: _takes_logarithms(script, False),
        "log-rates": lambda script: _takes_logarithms(script, True),
        "same-shape": _same_shape,
        "each-label": _each_label,
    }
    return places[change.reading](script)


def _takes_logarithms(script: Script, log_input: bool) -> list[Replacement]:
    calls = {
        made or call: 2 if made is None else 0
        for call, name, made in loss_calls(script)
        if name in OF_COUNTS and not without_gradients(script, call)
    }
    call = only(list(calls), "Poisson loss")
    if len(call.args) > calls[call]:
        return [script.source.replaced(call.args[calls[call]], str(log_input))]
    return with_argument(script, call, "log_input", str(log_input))


def _logits(script: Script) -> list[Replacement]:
    names = {name for _, name, _ in loss_calls(script)}
    if names & ON_PROBABILITIES.keys():
        return _swapped(script, ON_PROBABILITIES)
    return [_taken_out(script, only(_softmaxes(script), "softmax before its loss"))]


def _log_probabilities(script: Script) -> list[Replacement]:
    if _calls(script, LOG_SOFTMAX, "log_softmax"):
        raise NotPlaced("the script has a log-softmax whose place before the loss is not seen")
    found = _softmaxes(script)
    if not found:
        return _swapped(script, ON_OUTPUTS)
    call = only(found, "softmax before its loss")
    name = script.origins.called(call)
    if not name and isinstance(call.func, ast.Attribute):
        end = script.source.end(call.func)
        return [Replacement(end - len(call.func.attr), end, "log_softmax")]
    text, imports = script.written(LOGARITHM[name])
    return [script.source.replaced(call.func, text), *imports]


def _each_label(script: Script) -> list[Replacement]:
    losses = [one for one in loss_calls(script) if one[1] in OF_LABELS]
    if sum(not without_gradients(script, call) for call, _, _ in losses) > 1:
        raise NotPlaced("which of several losses is given several labels at once is not seen")
    for call, _, made in losses:
        words = {word.arg for one in (call, made) if one for word in one.keywords}
        if words - KNOWN_TO_BOTH or len(call.args) > 2 or (made and made.args):
            raise NotPlaced("the loss has options that mean something else for single labels")
    return _swapped(script, OF_LABELS)


def _swapped(script: Script, other: dict[str, str]) -> list[Replacement]:
    """Another class of loss, or another function, in the place of each."""
    found = []
    for call, name, made in loss_calls(script):
        if name not in other:
            continue
        made = made or call
        if any(word.arg == "pos_weight" for word in made.keywords):
            raise NotPlaced("the loss has weights that the other does not take")
        text, imports = script.written(other[name])
        found += [script.source.replaced(made.func, text), *imports]
    if not found:
        raise NotPlaced("the loss whose wiring is to change is not seen")
    return found


def _calls(script: Script, names: tuple[str, ...], method: str) -> list[ast.Call]:
    return [
        one
        for one in script.calls()
        if script.origins.called(one) in names
        or (is_method(one, method) and not script.origins.called(one))
    ]


def _softmaxes(script: Script) -> list[ast.Call]:
    """Those at the end of a network or in front of a loss; not the one that shows a result."""
    return [one for one in _calls(script, SOFTMAX, "softmax") if _before_loss(script, one)]


def _before_loss(script: Script, call: ast.Call) -> bool:
    parent = script.source.parent(call)
    if isinstance(parent, ast.Return):
        return any(parent in ast.walk(one) for one in script.forwards())
    if isinstance(parent, ast.Call):
        is_last = parent.args[-1:] == [call]
        if script.origins.called(parent) == NN + "Sequential":
            return is_last
        return any(parent is loss for loss, _, _ in loss_calls(script)) and parent.args[0] is call
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        return any(
            loss.args and loss.args[0] in script.source.walk(ast.Name)
            and script.origins.of(loss.args[0]) == [call]
            for loss, _, _ in loss_calls(script)
        )  # fmt: skip
    return False


def _taken_out(script: Script, call: ast.Call) -> Replacement:
    """What a softmax is applied to in its place; a layer of a sequence is left out."""
    source, parent = script.source, script.source.parent(call)
    if script.origins.called(call) == NN + "Softmax" and isinstance(parent, ast.Call):
        if len(parent.args) < 2:
            raise NotPlaced("the network is nothing but a softmax")
        return Replacement(source.end(parent.args[-2]), source.end(call), "")
    if not script.origins.called(call) and isinstance(call.func, ast.Attribute):
        return source.replaced(call, source.of(call.func.value))
    if not call.args:
        raise NotPlaced("what the softmax is applied to is not seen")
    return source.replaced(call, source.of(call.args[0]))


def _same_shape(script: Script) -> list[Replacement]:
    """The targets in the outputs' shape; where the outputs have no name, both in one row."""
    found = [
        one
        for call, name, _ in loss_calls(script)
        if name in ELEMENTWISE and len(call.args) >= 2
        for one in _aligned(script, call.args[0], call.args[1])
    ]
    if not found:
        raise NotPlaced("where outputs and targets are compared is not seen")
    return found


def _aligned(script: Script, outputs: ast.expr, targets: ast.expr) -> list[Replacement]:
    source = script.source
    if isinstance(outputs, ast.Name):
        text = f"{_operand(script, targets)}.reshape_as({outputs.id})"
        return [source.replaced(targets, text)]
    both = (outputs, targets)
    return [source.replaced(one, f"{_operand(script, one)}.flatten()") for one in both]


def _operand(script: Script, expr: ast.expr) -> str:
    """An expression as it can stand before a dot."""
    text = script.source.of(expr)
    atom = isinstance(expr, ast.Name | ast.Call | ast.Subscript | ast.Attribute)
    return text if atom else f"({text})"
