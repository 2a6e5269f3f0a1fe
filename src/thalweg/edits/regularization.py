"""Less weight decay and less dropout, where optimizers, groups and layers are given them."""

from __future__ import annotations

import ast

from thalweg.edits.numbers import number, scaled, set_to, written
from thalweg.edits.optimizers import lacking, sets_itself, settings, with_argument
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.interventions import Regularization

# Name and position of the probability, and what it is if it is not given; None: it drops nothing.
PLAIN = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
LAYERS: dict[str, tuple[str, int, float | None]] = {
    **{f"torch.nn.{name}": ("p", 0, 0.5) for name in PLAIN},
    **{f"torch.nn.{name}": ("dropout", 5, None) for name in ("RNN", "LSTM", "GRU")},
    "torch.nn.MultiheadAttention": ("dropout", 2, None),
    "torch.nn.TransformerEncoderLayer": ("dropout", 3, 0.1),
    "torch.nn.TransformerDecoderLayer": ("dropout", 3, 0.1),
    "torch.nn.Transformer": ("dropout", 5, 0.1),
    "torch.nn.functional.scaled_dot_product_attention": ("dropout_p", 4, None),
    **{f"torch.nn.functional.{name}": ("p", 1, 0.5)
       for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")},
    "torch.dropout": ("p", 1, None),
}  # fmt: skip


def regularization(script: Script, change: Regularization) -> list[Replacement]:
    """Scale every weight decay and every probability to drop."""
    if sets_itself(script, "weight_decay"):
        raise NotPlaced("the script sets its weight decay itself while it runs")
    decays = [one for one in settings(script, "weight_decay") if number(one) != 0]
    drops = [call for call in script.calls() if script.origins.called(call) in LAYERS]
    probabilities = [one for call in drops for one in _probability(script, call)]
    found = _all(script, [*decays, *probabilities], change.factor)
    found += [one for call in drops for one in _default_drop(script, call, change.factor)]
    found += _default_decays(script, change.factor)
    if not found:
        raise NotPlaced("the script shows no weight decay and no dropout")
    return found


def _all(script: Script, exprs: list[ast.expr], factor: float) -> list[Replacement]:
    if factor:
        return scaled(script, exprs, factor)
    return [one for expr in exprs for one in set_to(script, expr, "0.0")]


def _default_decays(script: Script, factor: float) -> list[Replacement]:
    """For optimizers that decay weights without being told to."""
    return [
        one
        for made in lacking(script, "weight_decay")
        if made.defaults.get("weight_decay")
        for one in with_argument(
            script, made.call, "weight_decay", written(made.defaults["weight_decay"] * factor)
        )
    ]


def _probability(script: Script, call: ast.Call) -> list[ast.expr]:
    """What a layer is told, if it is told and it is not zero."""
    name, at, _ = LAYERS[script.origins.called(call)]
    named = [word.value for word in call.keywords if word.arg == name]
    given = named or call.args[at : at + 1]
    return [one for one in given if number(one) != 0]


def _default_drop(script: Script, call: ast.Call, factor: float) -> list[Replacement]:
    """For layers that drop units without being told to."""
    name, at, default = LAYERS[script.origins.called(call)]
    told = len(call.args) > at or any(word.arg == name for word in call.keywords)
    if told or default is None:
        return []
    return with_argument(script, call, name, written(default * factor))
