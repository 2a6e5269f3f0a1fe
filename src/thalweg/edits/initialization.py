"""Another initialization: lines that draw the weights anew before the optimizer is constructed."""

from __future__ import annotations

import ast

from thalweg.edits.forward_pass import LINEAR, NN
from thalweg.edits.lines import before, fresh
from thalweg.edits.optimizers import optimizers
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement, only
from thalweg.edits.trained_parameters import unregistered
from thalweg.edits.training import model
from thalweg.interventions import Initialization

DRAWN = {"he": 'kaiming_normal_({}.weight, nonlinearity="relu")',
         "glorot": "xavier_normal_({}.weight)",
         "lecun": 'kaiming_normal_({}.weight, nonlinearity="linear")',
         "orthogonal": "orthogonal_({}.weight)",
         "unit-rows": "normal_({0}.weight, std={0}.embedding_dim**-0.5)"}  # fmt: skip
TABLES = ("Embedding", "EmbeddingBag")
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
# Layers whose weights would have to be drawn in another way.
OTHERS = ("Bilinear", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "RNN", "LSTM", "GRU",
          "RNNCell", "LSTMCell", "GRUCell", "MultiheadAttention", "TransformerEncoderLayer",
          "TransformerDecoderLayer", "Transformer", "Parameter", "ParameterList")  # fmt: skip


def initialization(script: Script, change: Initialization) -> list[Replacement]:
    """Draw the weights of every layer, or the recurrent ones, by the scheme."""
    if change.only is not None:
        raise NotPlaced("which of the script's matrices is drawn is not seen")
    name, made = model(script)
    statement = script.source.statement(optimizers(script)[0].call)
    if _drawn_later(script, statement):
        raise NotPlaced("the script initializes its weights later")
    if change.recurrent_only:
        lines, imports = _recurrent(script, name.id, made)
    else:
        lines, imports = _layers(script, name.id, change.scheme)
    return [before(script.source, statement, *lines), *imports]


def _drawn_later(script: Script, statement: ast.stmt) -> bool:
    return any(
        script.origins.called(one).startswith("torch.nn.init.") and one.lineno > statement.lineno
        and script.scopes.scope(one) is script.scopes.scope(statement)
        for one in script.calls()
    )  # fmt: skip


def _layers(script: Script, model_name: str, scheme: str) -> tuple[list[str], list[Replacement]]:
    """A loop over the layers of the kinds that the script uses."""
    if unregistered(script):
        raise NotPlaced("the model keeps layers where its modules() does not find them")
    used = {script.origins.called(one).removeprefix(NN) for one in script.calls()}
    drawn = TABLES if scheme == "unit-rows" else LINEAR
    if drawn is LINEAR and used & set(OTHERS):
        raise NotPlaced("the model has weights that are not those of plain layers")
    written = [script.written(NN + kind) for kind in drawn if kind in used]
    if not written:
        raise NotPlaced("the script shows no layer")
    kinds = [text for text, _ in written]
    (layer,) = fresh(script.source, ("layer",), ("module",))
    kind = kinds[0] if len(kinds) == 1 else f"({', '.join(kinds)})"
    head = [f"for {layer} in {model_name}.modules():", f"    if isinstance({layer}, {kind}):"]
    if scheme == "torch":
        return [*head, f"        {layer}.reset_parameters()"], written[0][1]
    init, imports = script.written("torch.nn.init")
    lines = [f"        {init}.{DRAWN[scheme].format(layer)}"]
    if drawn is TABLES:
        return [*head, *lines], imports
    if _lacks_bias(script):
        lines.append(f"        if {layer}.bias is not None:")
        lines.append(f"            {init}.zeros_({layer}.bias)")
    else:
        lines.append(f"        {init}.zeros_({layer}.bias)")
    return [*head, *lines], imports


def _lacks_bias(script: Script) -> bool:
    """Whether some layer may have no bias."""
    return any(word.arg == "bias" for one in script.calls() for word in one.keywords) or any(
        len(one.args) > 2 for one in script.calls_to(NN + "Linear")
    )


def _recurrent(
    script: Script, model_name: str, made: ast.AST
) -> tuple[list[str], list[Replacement]]:
    """A line for the one recurrent layer that the model's class has."""
    layer = only([one for kind in GATES for one in script.calls_to(NN + kind)], "recurrent layers")
    attribute = _attribute(script, layer, made)
    plain = not {word.arg for word in layer.keywords} & {"num_layers", "bidirectional", "proj_size"}
    if attribute is None or not plain or len(layer.args) > 2:
        raise NotPlaced("the recurrent weights of the model are not seen")
    init, imports = script.written("torch.nn.init")
    weight = f"{model_name}.{attribute}.weight_hh_l0"
    gates = GATES[script.origins.called(layer).removeprefix(NN)]
    if gates == 1:
        return [f"{init}.orthogonal_({weight})"], imports
    (gate,) = fresh(script.source, ("gate",))
    return [f"for {gate} in {weight}.chunk({gates}):", f"    {init}.orthogonal_({gate})"], imports


def _attribute(script: Script, layer: ast.Call, model_made: ast.AST) -> str | None:
    """The name under which the model's class keeps a layer."""
    own = script.origins.class_of(model_made.func) if isinstance(model_made, ast.Call) else None
    home = script.scopes.scope(layer)
    match script.source.parent(layer):
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
            return name if own is not None and home in own.body else None
    return None
