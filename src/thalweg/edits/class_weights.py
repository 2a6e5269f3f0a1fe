"""Weighted classes: an argument of the loss."""

from __future__ import annotations

import re

from thalweg.edits.numbers import written
from thalweg.edits.optimizers import with_argument
from thalweg.edits.script import Script
from thalweg.edits.source import NotPlaced, Replacement
from thalweg.edits.training import loss_calls, without_gradients
from thalweg.interventions import ClassWeights

NN, F = "torch.nn.", "torch.nn.functional."
BY_CLASS = (NN + "CrossEntropyLoss", NN + "NLLLoss", F + "cross_entropy", F + "nll_loss")
OF_POSITIVES = (NN + "BCEWithLogitsLoss", F + "binary_cross_entropy_with_logits")
OTHER_TYPES = re.compile(r"\b(double|float64|bfloat16|float16|half|cuda|device)\b")


def class_weights(script: Script, change: ClassWeights) -> list[Replacement]:
    """Give the training loss the weights."""
    if OTHER_TYPES.search(script.source.text):
        raise NotPlaced("the weights would have to be of the outputs' type and on their device")
    tensor, imports = script.written("torch.tensor")
    inside = ", ".join(written(one) for one in change.weights)
    found = []
    for call, name, made in loss_calls(script):
        if without_gradients(script, call):
            continue
        if name in BY_CLASS:
            found += with_argument(script, made or call, "weight", f"{tensor}([{inside}])")
        elif name in OF_POSITIVES and len(change.weights) == 2:
            ratio = written(change.weights[1] / change.weights[0])
            found += with_argument(script, made or call, "pos_weight", f"{tensor}({ratio})")
    if not found:
        raise NotPlaced("the loss whose classes are to be weighted is not seen")
    return [*found, *imports]
